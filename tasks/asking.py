"""Asking the model for one turn: prompt, stream, result; what is said is told as events."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from agents import Profile, Prompt, prompt_for
from agents.turn import model_of, reply_bound
from llm import Delta, Room
from memory import Acquired, EventType, decode_messages
from tasks.abilities import within_abilities
from tasks.crash_points import CrashPoint, passing
from tasks.exchange import Interview
from tasks.job import Envelope
from tasks.precedent import precedent_of
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
        self._watch = Stopwatch()

    @property
    def said(self) -> str:
        """The text that the model has said so far."""
        return "".join(self._said)

    async def run(self, job_id: str, envelope: Envelope, acquired: Acquired) -> ChatResult:
        """The turn's result. Raises LLMError."""
        self._watch = Stopwatch()
        job, settings = envelope.job, self._services.settings.llm
        history: Sequence[Mapping[str, object]] = decode_messages(acquired.history).messages
        model = model_of(job.ask, self._profile, settings)
        precedent = precedent_of(history, model)

        async def make(room: Room) -> Prompt:
            prompt = prompt_for(
                job.ask, self._profile, history, settings, room, precedent=precedent
            )
            capabilities = self._services.capabilities
            return prompt.asking(await within_abilities(prompt.request, job.ask, capabilities))

        interview = Interview(self._services.gauge, self._services.ollama.stream, self)
        bound = reply_bound(job.ask, self._profile, settings)
        exchange = await interview.ask(make, model, bound)
        passing(CrashPoint.MODEL_DONE)
        return result_of(
            job_id,
            job,
            exchange,
            parsed=parsed_answer(exchange.answer, job),
            attempt=acquired.attempt,
            stored_messages=acquired.stored_messages,
            timings=self._watch.timings(exchange.answer, sent_at=envelope.sent_at),
        )

    def begins(self, model: str) -> None:
        """The model is asked, perhaps for the second time: what it has said is dropped."""
        self._said.clear()
        self._watch.begin()
        self._tell(EventType.STARTED, data={"model": model})

    def hears(self, delta: Delta) -> None:
        """A piece of the reply has come."""
        self._watch.on_delta()
        self._said.append(delta.text)
        if delta.thinking:
            self._tell(EventType.THINKING, text=delta.thinking)
        if delta.text:
            self._tell(EventType.TOKEN, text=delta.text)
        passing(CrashPoint.TOKEN)
