"""Summing up what a conversation no longer shows, when nobody waits for an answer.

One summary is made at a time in the whole fleet. A message of any user, taken by any worker, goes
first: it deletes the lock (`memory.records.summary.remove_lock`), and the process that makes a
summary closes its call of the model within GUARD_S; in the same process at once. A summary that was
stopped is tried again when no message has come for a while.
"""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import Context
from dataclasses import dataclass, replace
from enum import Enum, auto

from agents.summary import MAX_SUMMARY_CHARS, SUMMARY_TOKENS, digest_of
from llm import (
    ChatRequest,
    ContextLimits,
    Delta,
    Final,
    LLMError,
    LLMSettings,
    ModelReply,
    joined,
)
from memory import (
    AsyncConnection,
    Command,
    Keyspace,
    Mailbox,
    MemoryServiceError,
    SessionKeys,
    summary,
)
from memory.lifetimes import SUMMARY_LOCK_MS
from memory.quotas import owners, usage
from memory.quotas.usage import Spent
from memory.records import history
from memory.records.summary import Earlier, Summary
from telemetry.metrics import SUMMARIES

logger = logging.getLogger(__name__)

QUIET_S = 1.0
"""How long no message must have come to this process before a summary is begun."""
GUARD_S = 0.25
MAX_WANTED = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session whose earlier turns are to be summed up: all but the last `shown_messages`."""

    mailbox: Mailbox
    model: str
    shown_messages: int
    user: str | None = None
    """Whose message asked for it, for usage."""


class _Outcome(Enum):
    """What came of a try to make a summary."""

    OVER = auto()
    """There is nothing more to sum up, or the history is another one now."""
    PARTLY = auto()
    """There was more than fits into one call."""
    STOPPED = auto()
    """Somebody else makes one, or a user's message came first."""


class Summaries:
    """The summaries that the sessions of one process want; used on its event loop only."""

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        context_limits: ContextLimits,
        stream: Callable[[ChatRequest], AsyncGenerator[Delta | Final, None]],
        settings: LLMSettings,
        *,
        is_used: bool,
        ttl_of: Callable[[str], int],
        is_paused: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        """`is_used`: an agent's profile wants summaries; `ttl_of` an agent: how long its sessions
        are kept, seconds; `is_paused`: whether an agent may not call a model now."""
        self._is_paused = is_paused
        self._is_used = is_used
        self._ttl_of = ttl_of
        self._memory = memory
        self._keyspace = keyspace
        self._context_limits = context_limits
        self._stream = stream
        self._settings = settings
        self.wanted: OrderedDict[str, Wanted] = OrderedDict()
        """What is still to be done, by history key."""
        self._interrupted = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    def want(self, wanted: Wanted) -> None:
        """Have a session summed up when it is quiet. The newest wishes are kept, not too many."""
        self.wanted[wanted.mailbox.keys.history] = wanted
        if len(self.wanted) > MAX_WANTED:
            self.wanted.popitem(last=False)
        if self._run is None or self._run.done():
            self._run = asyncio.create_task(self._work(), context=Context())

    async def aclose(self) -> None:
        """Stop; what was wanted is wanted again by the next turns. Safe to repeat."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait((self._run,))

    def interrupt(self) -> list[Command[object]]:
        """A user's message has come to this process and goes first: what is to be sent with it."""
        if not self._is_used:
            return []
        self._interrupted.set()
        return [summary.remove_lock(self._keyspace)]

    def before_commit(self, keys: SessionKeys) -> list[Command[object]]:
        """What is to be sent with a turn, so that the summary lives as long as its session."""
        ttl_s = self._ttl_of(keys.agent_id)
        return [summary.prolong(keys, ttl_s=ttl_s)] if self._is_used else []

    async def _work(self) -> None:
        while self.wanted:
            await self._quiet()
            key, wanted = next(iter(self.wanted.items()))
            outcome = _Outcome.OVER
            try:
                outcome = await self._sum_up(wanted)
            except MemoryServiceError as exc:
                logger.info(
                    "%s was not summarised; its next turn asks for a summary again: %s", key, exc
                )
            # Another turn may have wished for more meanwhile.
            if outcome is _Outcome.OVER and self.wanted.get(key) is wanted:
                del self.wanted[key]
            elif key in self.wanted:
                self.wanted.move_to_end(key)

    async def _quiet(self) -> None:
        """Wait until no message has come for a while."""
        while True:
            self._interrupted.clear()
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._interrupted.wait()
            except TimeoutError:
                return

    async def _sum_up(self, wanted: Wanted) -> _Outcome:
        """Make one summary. Raises MemoryServiceError."""
        name = os.urandom(12)
        is_taken, left_ms = await self._memory.run_all(
            summary.take_lock(self._keyspace, name, ttl_ms=SUMMARY_LOCK_MS),
            summary.lock_left_ms(self._keyspace),
        )
        if not is_taken:
            # Nobody takes it for so long: Redis' clock was set back since its holder died.
            if not 0 <= left_ms <= SUMMARY_LOCK_MS:
                await self._memory.run(summary.remove_lock(self._keyspace))
            return _Outcome.STOPPED
        try:
            outcome = await self._made(wanted, name)
        except LLMError as exc:
            history = wanted.mailbox.keys.history
            logger.info(
                "%s was not summarised; its next turn asks for a summary again: %s", history, exc
            )
            outcome = _Outcome.OVER
        SUMMARIES.labels(outcome.name.lower()).inc()
        if outcome is not _Outcome.STOPPED:  # or the turn may be another's by now
            await self._memory.run(summary.remove_lock(self._keyspace))
        return outcome

    async def _made(self, wanted: Wanted, name: bytes) -> _Outcome:
        """The same while it is our turn. Raises MemoryServiceError and LLMError."""
        if await self._is_paused(wanted.mailbox.keys.agent_id, wanted.model):
            return _Outcome.OVER  # its next turn wants a summary again
        if await self._memory.run(wanted.mailbox.pending()):
            return _Outcome.OVER  # the session goes on: so it does here
        earlier = await self._earlier(wanted, name)
        keys = wanted.mailbox.keys
        decoded = (await history.decode_in_slices(keys, earlier.messages)).messages
        so_far = earlier.so_far.text if earlier.so_far else None
        budget = await self._context_limits.budget(wanted.model, SUMMARY_TOKENS)
        digest = digest_of(decoded, so_far, budget, self._settings, wanted.model)
        if digest is None:
            return _Outcome.OVER
        reply = await self._written(digest.request, wanted, name)
        if reply is None:
            return _Outcome.STOPPED
        text = reply.text.strip()
        until = summary.name_of(earlier.messages[digest.messages - 1])
        new = Summary(text[:MAX_SUMMARY_CHARS], until)
        # Used also where the history is another one by now.
        used = _used(self._keyspace, wanted, name, reply.final)
        kept = (summary.keep(keys, earlier, new),) if text else ()
        answers = await self._memory.run_each([*kept, used])
        is_kept = bool(kept and answers[0])
        is_all = digest.messages == len(decoded)
        return _Outcome.OVER if is_all or not is_kept else _Outcome.PARTLY

    async def _earlier(self, wanted: Wanted, name: bytes) -> Earlier:
        """Claim the summary first, then read: what is removed later takes the claim along."""
        keys = wanted.mailbox.keys
        await self._memory.run_all(*summary.claim(keys, name))
        rev, so_far, messages = await self._memory.run_all(
            summary.revision(keys),
            summary.read(keys),
            summary.all_but(keys, wanted.shown_messages),
        )
        found = await history.decode_in_slices(keys, messages)
        readable = tuple(messages[place] for place in found.places)
        return Earlier(name, rev, so_far, summary.not_in(so_far, readable))

    async def _written(
        self, request: ChatRequest, wanted: Wanted, name: bytes
    ) -> ModelReply | None:
        """The summary; None if a user's message came first, and the model was stopped."""
        writing = asyncio.create_task(self._ask(request))
        guard = asyncio.create_task(self._until_somebody_comes(wanted, name))
        try:
            await asyncio.wait((writing, guard), return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()
            guard.cancel()
            ends = await asyncio.gather(writing, guard, return_exceptions=True)
        if not isinstance(ends[0], asyncio.CancelledError):
            return writing.result()
        if not isinstance(ends[1], asyncio.CancelledError):
            guard.result()
        return None

    async def _ask(self, request: ChatRequest) -> ModelReply:
        # A model that thinks would spend on that what the summary may have.
        stream = self._stream(replace(request, think=False))
        async with aclosing(stream) as records:
            return joined([record async for record in records])

    async def _until_somebody_comes(self, wanted: Wanted, name: bytes) -> None:
        """Return once a user's message is there: in this process, in another, in the session."""
        while True:
            try:
                async with asyncio.timeout(GUARD_S):
                    await self._interrupted.wait()
                return
            except TimeoutError:
                pass
            holder, pending, _ = await self._memory.run_all(
                summary.lock_holder(self._keyspace),
                wanted.mailbox.pending(),
                summary.renew_lock(self._keyspace, ttl_ms=SUMMARY_LOCK_MS),
            )
            if holder != name or pending:
                return


def _used(keyspace: Keyspace, wanted: Wanted, name: bytes, final: Final) -> Command[int]:
    """Counts what a summary has used."""
    spent = Spent(
        slot_ms=round(final.total_ms or 0),
        summaries=1,
        summary_tokens_in=final.prompt_tokens,
        summary_tokens_out=final.completion_tokens,
    )
    named = () if wanted.user is None else (owners.named(wanted.user),)
    whose = (owners.agent(wanted.mailbox.keys.agent_id), *named)
    return usage.count_once(keyspace, name.hex(), spent, usage.rows_of(whose, wanted.model))
