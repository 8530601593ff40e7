"""The routes that ask a model: from the request to the reply of its scenario."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from sandbox.ollama import gotime, refusals, replies
from sandbox.ollama.call_log import OpenCall
from sandbox.ollama.errors import Refused, UnknownScenario
from sandbox.ollama.openai_answers import Translation
from sandbox.ollama.refusals import Stage
from sandbox.ollama.reply import plans, records
from sandbox.ollama.reply.admission import check_abilities
from sandbox.ollama.reply.playing import Clock, Play, json_response
from sandbox.ollama.reply.records import RecordWriter, Shape
from sandbox.ollama.reply.wire import Rewrite
from sandbox.ollama.request.bodies import ModelRequest, read_chat, read_generate
from sandbox.ollama.runners import Runner, slot
from sandbox.ollama.scenarios import Ending, Scenario
from sandbox.ollama.state import StandInState


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
        """In the order of Ollama's own checks (docs/ollama.md, Order of checks)."""
        arrived_ns = time.monotonic_ns()
        scenario = self._scenario(asked, api.shape)
        self.state.call_log.understood(call, asked, scenario.name)
        await self._refuse(Stage.MODEL, asked, scenario)
        await self._refuse(Stage.BODY, asked, scenario)
        self.state.install([asked.model])
        if not asked.messages and asked.keep_alive_s == 0:
            self.state.runners.unload(self.state.weights(asked.model))
            return self._acknowledged(call, api.shape, asked, "unload")
        check_abilities(asked, scenario, api.shape)
        await self._refuse(Stage.QUEUE, asked, scenario)
        async with self._runner(asked, scenario) as runner:
            if not asked.messages:
                return self._acknowledged(call, api.shape, asked, "load")
            loaded_ns = time.monotonic_ns()
            async with slot(runner, leaks=scenario.leaks_slot):
                await self._refuse(Stage.RUN, asked, scenario)
                clock = Clock(arrived_ns, loaded_ns, slot_ns=time.monotonic_ns())
                play = self._play(request, call, api, asked=asked, scenario=scenario, clock=clock)
                return await self._performed(play, asked)

    @asynccontextmanager
    async def _runner(self, asked: ModelRequest, scenario: Scenario) -> AsyncIterator[Runner]:
        """The runner of the model; one that is listed nowhere for a model of the cloud."""
        wanted = self.state.wanted(asked, scenario)
        if self.state.is_of_cloud(asked.model):
            yield Runner(wanted.name, wanted.weights, wanted.options, asyncio.Semaphore(1))
            return
        async with self.state.runners.using(wanted) as runner:
            yield runner

    def _scenario(self, asked: ModelRequest, shape: Shape) -> Scenario:
        """A scripted scenario first; a request that only loads the model takes none."""
        if not asked.model.strip():
            raise refusals.no_model(shape)
        self.state.is_of_cloud(asked.model)
        scripted = self.state.script.next(asked.model) if asked.messages else None
        try:
            return scripted or self.state.own_scenario(asked.model)
        except UnknownScenario as exc:
            raise Refused(400, f"stand-in: {exc}") from exc

    async def _refuse(self, stage: Stage, asked: ModelRequest, scenario: Scenario) -> None:
        """Raise Refused, in the scenario's own time, if the request is refused at this stage."""
        try:
            scenario.refuse(stage, asked.model, is_chat=bool(asked.messages))
        except Refused:
            await asyncio.sleep(scenario.first_s)
            raise

    def _acknowledged(
        self, call: OpenCall, shape: Shape, asked: ModelRequest, reason: str
    ) -> web.Response:
        """No messages: the model is loaded or let go, and one object says so."""
        self.state.call_log.end(call, "answered", 200)
        writer = RecordWriter(shape, asked.model)
        now = gotime.timestamp(time.time_ns())
        return json_response(200, writer.record(now, plans.NOTHING, records.done(reason)))

    def _play(
        self,
        request: web.Request,
        call: OpenCall,
        api: ApiFormat,
        *,
        asked: ModelRequest,
        scenario: Scenario,
        clock: Clock,
    ) -> Play:
        failure, broken = _failure(asked, scenario)
        return Play(
            request=request,
            call=call,
            scenario=scenario,
            plan=plans.plan(asked, scenario),
            clock=clock,
            writer=RecordWriter(api.shape, asked.model),
            call_log=self.state.call_log,
            failure=failure,
            broken=broken,
            cached_tokens=self._cached_tokens(asked),
            rewrite=api.rewrite,
        )

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
        finally:
            if play.scenario.forgets_all:
                self.state.runners.unload_all()


def _failure(asked: ModelRequest, scenario: Scenario) -> tuple[Refused, str]:
    """How a reply that breaks ends: before its first record, and later."""
    if scenario.ending is Ending.BAD_CALL:
        failure = refusals.bad_call(asked.tools[0].name if asked.tools else "look_up")
        return failure, failure.text
    return refusals.gone(), refusals.CRASH_LINE


def refusal_response(refused: Refused, *, is_streamed: bool = False) -> web.Response:
    """The error answer, with the content type of its place in the stream."""
    beside = {} if refused.signin_url is None else {"signin_url": refused.signin_url}
    body = records.error(refused.text, **beside)
    return json_response(refused.status, body, late=refused.late and is_streamed)
