"""The routes that ask a model: from the request to the reply of its scenario."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from sandbox.ollama import catalog, gotime, options, plans, records, refusals, replies
from sandbox.ollama.bodies import ModelRequest, read_chat, read_generate
from sandbox.ollama.call_log import OpenCall
from sandbox.ollama.errors import Refused, UnknownScenario
from sandbox.ollama.openai_answers import Translation
from sandbox.ollama.playing import Clock, Play, json_response
from sandbox.ollama.records import RecordWriter, Shape
from sandbox.ollama.runners import slot
from sandbox.ollama.scenarios import Scenario
from sandbox.ollama.state import StandInState
from sandbox.ollama.wire import Rewrite

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,300}")


@dataclass(frozen=True, slots=True)
class ApiFormat:
    """The format of one route: its records, its requests, and how its lines are rewritten."""

    shape: Shape
    read: Callable[[bytes], ModelRequest]
    rewrite: Rewrite | None = None


CHAT, GENERATE = ApiFormat("chat", read_chat), ApiFormat("generate", read_generate)


@dataclass(frozen=True, slots=True)
class Calls:
    """The routes of the model. One instance serves all requests."""

    state: StandInState

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions: a chat whose request and whose answer are rewritten."""
        translation = Translation()
        api = ApiFormat("chat", translation.read, translation.events)
        answer = await self.answer(api, request)
        if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
            return answer  # a stream, rewritten as it went
        body = translation.answer(answer.status, answer.body)
        return json_response(answer.status, body, late=True)

    async def answer(self, api: ApiFormat, request: web.Request) -> web.StreamResponse:
        """Answer a request in the format of its route."""
        call_log = self.state.call_log
        call = call_log.begin(request.path, await request.read())
        try:
            return await self._played(request, call, api, api.read(call.body))
        except Refused as refused:
            call_log.end(call, "refused", refused.status)
            return refusal_response(refused, is_streamed=call.stream)
        except (asyncio.CancelledError, ConnectionError):
            # The client has gone: aiohttp cancels the handler, or a write fails.
            call_log.disconnected(call)
            raise
        finally:
            call_log.end(call, "broken", 0)

    async def _played(
        self, request: web.Request, call: OpenCall, api: ApiFormat, asked: ModelRequest
    ) -> web.StreamResponse:
        scenario = self._scenario(asked, api.shape)
        self.state.call_log.understood(call, asked, scenario.name)
        if scenario.refusal is not None and (asked.messages or scenario.refuses_load):
            await asyncio.sleep(scenario.first_s)
            tokens = replies.prompt_tokens(asked.messages)
            raise refusals.refusal(scenario.refusal, asked.model, tokens)
        self.state.install([asked.model])
        if not asked.messages:
            return await self._loaded(call, api.shape, asked, scenario)
        _check(asked, scenario, api.shape)
        return await self._replied(request, call, api, asked, scenario)

    def _scenario(self, asked: ModelRequest, shape: Shape) -> Scenario:
        """A scripted scenario first; a request that only loads the model takes none."""
        if not asked.model:
            raise refusals.no_model(shape)
        if _MODEL_NAME.fullmatch(asked.model) is None:
            raise Refused(400, "invalid model name")
        scripted = self.state.script.next(asked.model) if asked.messages else None
        try:
            return scripted or self.state.own_scenario(asked.model)
        except UnknownScenario as exc:
            raise Refused(400, f"stand-in: {exc}") from exc

    async def _loaded(
        self, call: OpenCall, shape: Shape, asked: ModelRequest, scenario: Scenario
    ) -> web.Response:
        """No messages: load the model, or unload it at once, and say so in one object."""
        reason = "load"
        if asked.keep_alive_s == 0:
            self.state.runners.unload(asked.model)
            reason = "unload"
        else:
            async with self.state.runners.using(asked, scenario):
                pass
        self.state.call_log.end(call, "answered", 200)
        writer = RecordWriter(shape, asked.model)
        now = gotime.timestamp(time.time_ns())
        return json_response(200, writer.record(now, plans.NOTHING, records.done(reason)))

    async def _replied(
        self,
        request: web.Request,
        call: OpenCall,
        api: ApiFormat,
        asked: ModelRequest,
        scenario: Scenario,
    ) -> web.StreamResponse:
        arrived_ns = time.monotonic_ns()
        async with self.state.runners.using(asked, scenario) as runner:
            loaded_ns = time.monotonic_ns()
            async with slot(runner, leaks=scenario.leaks_slot):
                play = Play(
                    request=request,
                    call=call,
                    scenario=scenario,
                    plan=plans.plan(asked, scenario),
                    clock=Clock(arrived_ns, loaded_ns, slot_ns=time.monotonic_ns()),
                    writer=RecordWriter(api.shape, asked.model),
                    call_log=self.state.call_log,
                    cached_tokens=self._cached_tokens(asked),
                    rewrite=api.rewrite,
                )
                return await self._performed(play, asked)

    def _cached_tokens(self, asked: ModelRequest) -> int | None:
        """All but the last message, as after the turn before; only profile 0.40 states them."""
        if self.state.profile == "0.33":
            return None
        return replies.prompt_tokens(asked.messages[:-1])

    async def _performed(self, play: Play, asked: ModelRequest) -> web.StreamResponse:
        try:
            return await (play.stream() if asked.stream else play.whole())
        except (asyncio.CancelledError, ConnectionError):
            if play.scenario.deaf:
                self.state.call_log.disconnected(play.call)
                await play.produce_to_the_end()
            raise


def _check(asked: ModelRequest, scenario: Scenario, shape: Shape) -> None:
    options.check_options(asked.options)
    options.check_format(asked.response_format)
    if not scenario.can_chat:
        raise refusals.no_chat(asked.model, shape)
    if asked.has_tools and not scenario.has_tools:
        raise refusals.no_tools(asked.model)
    if asked.think and not catalog.can_think(scenario):
        raise refusals.no_thinking(asked.model)


def refusal_response(refused: Refused, *, is_streamed: bool = False) -> web.Response:
    """The error answer, with the content type of its place in the stream."""
    beside = {} if refused.signin_url is None else {"signin_url": refused.signin_url}
    body = records.error(refused.text, **beside)
    return json_response(refused.status, body, late=refused.late and is_streamed)
