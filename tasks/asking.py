"""Asking the model for one turn: prompt, stream, result; what is said is told as events."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from pydantic import JsonValue

from agents import Profile, prompt_for, read_answer
from llm import Delta
from memory import Acquired, EventType, decode_messages
from tasks.abilities import within_abilities
from tasks.crash_points import CrashPoint, passing
from tasks.job import Envelope
from tasks.result import ChatResult, parsed_answer, result_of
from tasks.stopwatch import Stopwatch
from tasks.wiring import Services


class Tell(Protocol):
    """How an asking tells the session's followers what happens."""

    def __call__(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Tell one event of this attempt."""


class Asking:
    """One attempt's conversation with the model; `said` is the reply as far as it came."""

    def __init__(self, services: Services, profile: Profile, tell: Tell) -> None:
        self._services = services
        self._profile = profile
        self._tell = tell
        self._said: list[str] = []

    @property
    def said(self) -> str:
        """The text that the model has said so far."""
        return "".join(self._said)

    async def run(self, job_id: str, envelope: Envelope, acquired: Acquired) -> ChatResult:
        """The turn's result. Raises LLMError."""
        job = envelope.job
        history: Sequence[Mapping[str, object]] = decode_messages(acquired.history).messages
        prompt = prompt_for(job.ask, self._profile, history, self._services.settings.llm)
        request = await within_abilities(prompt.request, job.ask, self._services.capabilities)
        watch = Stopwatch()
        self._tell(EventType.STARTED, data={"model": request.model})

        def on_delta(delta: Delta) -> None:
            watch.on_delta()
            self._heard(delta)

        async with aclosing(self._services.ollama.stream(request)) as records:
            answer = await read_answer(records, on_delta)
        passing(CrashPoint.MODEL_DONE)
        return result_of(
            job_id,
            job,
            answer,
            parsed=parsed_answer(answer, job),
            attempt=acquired.attempt,
            history_messages=prompt.history_messages,
            timings=watch.timings(answer, sent_at=envelope.sent_at),
        )

    def _heard(self, delta: Delta) -> None:
        self._said.append(delta.text)
        if delta.thinking:
            self._tell(EventType.THINKING, text=delta.thinking)
        if delta.text:
            self._tell(EventType.TOKEN, text=delta.text)
        passing(CrashPoint.TOKEN)
