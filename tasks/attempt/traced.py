"""One attempt as spans: itself, how it got the job, and what it takes over from one that died.

Names and attributes follow OpenTelemetry's conventions for generative AI (status: development,
2026): an attempt is `invoke_agent`. It is made once the job is known, for most messages that a
worker looks at lead to no attempt.
"""

import time
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Self

from opentelemetry.trace import INVALID_SPAN, Span

from memory import Acquired, AsyncConnection, Keyspace
from memory.ids import shown_id
from tasks.attempt.lost_attempt import Lost, lost_before
from tasks.attempt.verdict import Answered, Verdict
from tasks.job.envelope import Envelope, JobRef, MergedJob
from tasks.process.log_context import log_trace
from tasks.settings import QueueSettings
from tasks.turn.attempt_place import AttemptPlace, placed
from telemetry import tracing

FAILED = ("retried", "failed", "broken")


class AttemptTrace:
    """The spans of one attempt; enter it in the task that makes the attempt."""

    def __init__(
        self, memory: AsyncConnection, keyspace: Keyspace, ref: JobRef, settings: QueueSettings
    ) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._ref = ref
        self._settings = settings
        self._began_ns = time.time_ns()
        self._span: Span = INVALID_SPAN
        self._place = AttemptPlace({}, {})
        self._entered = ExitStack()

    @property
    def place(self) -> tracing.Carrier:
        """Where it is in the trace of its job; empty where there is none."""
        return self._place.attempt

    def __enter__(self) -> Self:
        if not tracing.is_on():
            return self
        token = _current.set(self)
        self._entered.callback(_current.reset, token)
        self._entered.enter_context(placed(self._place))
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    async def begin(self, envelope: Envelope, acquired: Acquired) -> None:
        """The job is known, and its trace: the span begins where the attempt has begun."""
        job, number = envelope.trace or {}, acquired.attempt
        facts = self._facts(envelope) | {"griot.attempt": number}
        lost = None
        if number > 1:
            keys = self._keyspace.session(self._ref.agent_id, self._ref.session_id)
            lost = await lost_before(self._memory, keys, self._ref.job_id, number)
        # Attempts at a job that nobody has sent with a trace share one all the same.
        own = lost.trace_id if lost is not None and not job else tracing.trace_of(self._ref.job_id)
        with tracing.choosing(own):
            self._span = tracing.begun(
                self._name,
                within=job,
                attributes=facts,
                links=[one.trace for one in envelope.merged if one.trace],
                start_ns=self._began_ns,
            )
        self._place.attempt, self._place.job = tracing.carrier_of(self._span), job
        self._entered.callback(tracing.leave, tracing.enter(self._span))
        log_trace(tracing.trace_id(self._span))
        tracing.begun("acquire", start_ns=self._began_ns).end()
        for one in envelope.merged:
            self._note_merged(one)
        if lost is not None:
            self._show_lost(lost, job, facts)

    def ended(self, outcome: str, verdict: Verdict | None) -> None:
        """The attempt has come to this; `verdict` is None where something broke it off."""
        span = self._span
        if not span.is_recording():
            return
        tracing.note(span, {"griot.outcome": outcome})
        if outcome in FAILED:
            tracing.note_error(span, outcome)
        if isinstance(verdict, Answered):
            result = verdict.result
            known: tracing.Facts = {
                "gen_ai.response.model": result["model"],
                "gen_ai.response.finish_reasons": [result["done_reason"]],
                "gen_ai.usage.input_tokens": result["usage"]["prompt_tokens"],
                "gen_ai.usage.output_tokens": result["usage"]["completion_tokens"],
            }
            tracing.note(span, known)
        span.end()

    @property
    def _name(self) -> str:
        return f"invoke_agent {shown_id(self._ref.agent_id)}"

    def _facts(self, envelope: Envelope) -> dict[str, str | int]:
        facts: dict[str, str | int] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "griot",
            "gen_ai.agent.name": shown_id(self._ref.agent_id),
            "griot.job.id": self._ref.shown,
        }
        if self._settings.trace_sessions:
            facts["gen_ai.conversation.id"] = shown_id(self._ref.session_id)
        if envelope.job.model:
            facts["gen_ai.request.model"] = shown_id(envelope.job.model)
        return facts

    def _note_merged(self, merged: MergedJob) -> None:
        """In the trace of a job that this one answers: that it does, and from when it waited."""
        if not merged.trace:
            return
        named = {"griot.job.id": shown_id(merged.job_id), "griot.merged.into": self._ref.shown}
        span = tracing.begun(
            "merged",
            within=merged.trace,
            attributes=named,
            links=[self._place.attempt],
            start_ns=round(merged.sent_at * 1e9),
        )
        span.end(max(self._began_ns, round(merged.sent_at * 1e9)))

    def _show_lost(self, lost: Lost, job: tracing.Carrier, facts: dict[str, str | int]) -> None:
        """The span of the attempt before, whose worker died before it could make it."""
        with tracing.choosing(lost.trace_id, lost.span_id):
            span = tracing.begun(
                self._name, within=job, attributes=facts, start_ns=lost.began_ms * 1_000_000
            )
        tracing.note(span, {"griot.attempt": lost.attempt, "griot.outcome": "lost"})
        tracing.note_error(span, "lost")
        span.end(lost.seen_ms * 1_000_000)


_current: ContextVar[AttemptTrace | None] = ContextVar("attempt_trace", default=None)


async def trace_attempt(envelope: Envelope, acquired: Acquired) -> None:
    """Begin the span of the attempt that this code makes. Raises no error of Redis."""
    trace = _current.get()
    if trace is not None:
        await trace.begin(envelope, acquired)
