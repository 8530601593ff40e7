"""One reply on the model's own clock: waits, tokens, and the ending that the scenario wants."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from aiohttp import web

from sandbox.ollama import gotime
from sandbox.ollama.call_log import CallLog, OpenCall, Outcome
from sandbox.ollama.errors import Refused
from sandbox.ollama.reply import records
from sandbox.ollama.reply.plans import NOTHING, Fragment, Plan
from sandbox.ollama.reply.records import RecordWriter
from sandbox.ollama.reply.wire import Rewrite, Wire
from sandbox.ollama.scenarios import Ending, Framing, Scenario

_BROKEN = {Ending.ERROR_LINE, Ending.BAD_CALL}
_TOKENS_PER_TURN = 64
"""So many tokens without pace are produced before other requests get a turn of the loop."""


@dataclass(slots=True)
class Clock:
    """When what began, in nanoseconds of the monotonic clock."""

    arrived_ns: int
    loaded_ns: int
    slot_ns: int
    first_ns: int = 0

    def begin_again(self) -> None:
        """A second run begins, of which alone the parts are stated."""
        self.slot_ns = time.monotonic_ns()

    def metrics(self, plan: Plan, cached_tokens: int | None) -> dict[str, int | None]:
        """The final record's numbers now. Only the total includes the wait for a slot."""
        now_ns = time.monotonic_ns()
        return {
            "total_duration": now_ns - self.arrived_ns,
            "load_duration": max(1, self.loaded_ns - self.arrived_ns),
            "prompt_eval_count": plan.prompt_tokens,
            "prompt_eval_cached_count": cached_tokens,
            "prompt_eval_duration": max(1, self.first_ns - self.slot_ns),
            "eval_count": plan.eval_tokens,
            "eval_duration": max(1, now_ns - self.first_ns),
        }


@dataclass(frozen=True, slots=True)
class Play:
    """Everything that one reply needs. Use one method, once."""

    request: web.Request
    call: OpenCall
    scenario: Scenario
    plan: Plan
    clock: Clock
    writer: RecordWriter
    call_log: CallLog
    failure: Refused
    """The answer if the reply breaks before its first record."""
    broken: str
    """The text of the error line if it breaks later."""
    cached_tokens: int | None = None
    rewrite: Rewrite | None = None

    async def stream(self) -> web.StreamResponse:
        """The reply as lines."""
        wire = Wire(self.request, self.scenario.framing, self.rewrite)
        if self.scenario.framing is Framing.ONE_WRITE and not self.scenario.token_s:
            await self._burst(wire)
            return await self._end(wire)
        async for fragment in self._produced(self.plan.fragments):
            await wire.send(self.writer.line(_now(), fragment))
        return await self._end(wire)

    async def whole(self) -> web.StreamResponse:
        """The reply as one object, for `stream: false`."""
        said = [fragment async for fragment in self._produced(self.plan.fragments)]
        ending = self.scenario.ending
        if ending in {Ending.STALL, Ending.ENDLESS}:
            await self._stay_silent()
        if ending in {Ending.CUT, Ending.RESET}:
            self._over("broken", 0)
            return await Wire(self.request, self.scenario.framing).cut(reset=ending is Ending.RESET)
        if ending in _BROKEN:
            self._over("broken", 500)
            return json_response(500, records.error(self.broken))
        return self._one_object(said, is_done=ending is Ending.DONE)

    async def produce_to_the_end(self) -> None:
        """Generate the remaining tokens although the client left: this model ignores a cancel."""
        left = self.plan.fragments[self.call.tokens :]
        async for _ in self._produced(left, is_first=not self.clock.first_ns):
            pass

    async def _produced(
        self, fragments: Iterable[Fragment], *, is_first: bool = True
    ) -> AsyncIterator[Fragment]:
        if is_first:
            await self._reach_first_token()
        began_s, pace_s = time.monotonic(), self.scenario.token_s
        for index, fragment in enumerate(fragments, start=1):
            if pace_s:
                await _until(began_s + index * pace_s)
            elif index % _TOKENS_PER_TURN == 0:
                await asyncio.sleep(0)
            self.call_log.produced(self.call, fragment.content, fragment.tokens)
            yield fragment
            if is_first and index == self.plan.first_run:
                self.clock.begin_again()
                await self._reach_first_token()
                began_s = time.monotonic() - index * pace_s

    async def _burst(self, wire: Wire) -> None:
        """All fragments at one instant: what `_produced` does, without a step for each token."""
        await self._reach_first_token()
        text = "".join(fragment.content for fragment in self.plan.fragments)
        self.call_log.produced(self.call, text, len(self.plan.fragments))
        now = _now()
        await wire.send(
            b"".join([self.writer.line(now, fragment) for fragment in self.plan.fragments])
        )

    async def _reach_first_token(self) -> None:
        await _until(self.clock.slot_ns / 1e9 + self.scenario.first_s)
        self.clock.first_ns = time.monotonic_ns()

    async def _end(self, wire: Wire) -> web.StreamResponse:
        ending = self.scenario.ending
        if ending is Ending.DONE:
            line = self._final() + b"\n"
            self._over("answered", 200)
            return await wire.end(line)
        if ending in _BROKEN and not wire.has_begun:
            raise self.failure
        if ending is Ending.STALL:
            await self._stay_silent()
        if ending is Ending.ENDLESS:
            async for fragment in self._produced(self.plan.without_end(), is_first=False):
                await wire.send(self.writer.line(_now(), fragment))
        self._over("broken", 200 if wire.has_begun else 0)
        if ending in {Ending.CUT, Ending.RESET}:
            return await wire.cut(reset=ending is Ending.RESET)
        return await wire.end(records.error(self.broken) + b"\n" if ending in _BROKEN else b"")

    def _final(self, said: Iterable[Fragment] = ()) -> bytes:
        """The final record, which carries `said` if it is to be the only one."""
        final = self.plan.final
        if final is not NOTHING:
            self.call_log.produced(self.call, final.content, final.tokens)
        metrics = self.clock.metrics(self.plan, self.cached_tokens)
        tail = records.done(self.plan.done_reason, metrics)
        return self.writer.record(_now(), _joined([*said, final]), tail)

    def _one_object(self, said: list[Fragment], *, is_done: bool) -> web.Response:
        if is_done:
            body = self._final(said)
        elif said:
            body = self.writer.record(_now(), _joined(said), {"done": False})
        else:
            body = self.writer.zero_object()
        self._over("answered" if is_done else "broken", 200)
        return json_response(200, body)

    def _over(self, outcome: Outcome, status: int) -> None:
        """End the call before its last bytes are sent: a client that has them finds it ended."""
        self.call_log.end(self.call, outcome, status)

    async def _stay_silent(self) -> None:
        """Wait until the client disconnects, which cancels this task."""
        await asyncio.get_running_loop().create_future()


def json_response(status: int, body: bytes, *, late: bool = False) -> web.Response:
    """A JSON body as gin sends it; `late` leaves out the charset."""
    kind = "application/json" if late else "application/json; charset=utf-8"
    return web.Response(status=status, body=body, headers={"Content-Type": kind})


def _joined(fragments: Iterable[Fragment]) -> Fragment:
    said = list(fragments)
    return Fragment(
        content="".join(fragment.content for fragment in said),
        thinking="".join(fragment.thinking for fragment in said),
        tool_calls=tuple(call for fragment in said for call in fragment.tool_calls),
    )


def _now() -> str:
    return gotime.timestamp(time.time_ns())


async def _until(monotonic_s: float) -> None:
    wait_s = monotonic_s - time.monotonic()
    if wait_s > 0:
        await asyncio.sleep(wait_s)
