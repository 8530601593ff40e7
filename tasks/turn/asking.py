"""Asking the model for one turn: prompt, stream, result; what is said is told as events."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from pydantic import JsonValue

from agents import Ask, Profile, Prompt, ToolEvent, ToolRounds, prompt_for
from agents.turn import model_of, reply_bound
from llm import ChatRequest, ContextOverflowError, Delta, Final, HeldSlot, TokenBudget
from memory import Acquired, EventType, decode_messages
from tasks.job.job import ChatJob, Envelope
from tasks.job.result import ChatResult, parsed_answer, result_of
from tasks.process.crash_points import CrashPoint, passing
from tasks.process.wiring import Services
from tasks.turn.abilities import within_abilities
from tasks.turn.context import told_of_earlier
from tasks.turn.fitted_call import Exchange, FittedCall
from tasks.turn.precedent import precedent_of
from tasks.turn.stopwatch import Stopwatch
from tasks.turn.tools import tool_rounds


class Tell(Protocol):
    """How an asking tells the session's followers what happens."""

    def __call__(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Tell one event of this attempt."""


class Asking:
    """One attempt's conversation with the model; `said` is the reply as far as it came."""

    def __init__(
        self, services: Services, profile: Profile, tell: Tell, held_slot: HeldSlot
    ) -> None:
        self._services = services
        self._held_slot = held_slot
        self._profile = profile
        self._tell = tell
        self._said: list[str] = []
        self._watch = Stopwatch()
        self._rounds: ToolRounds | None = None
        self._noted: Ask | None = None
        self._stored_messages = 0

    @property
    def said(self) -> str:
        """What the model has said so far of its reply."""
        return "".join(self._said)

    @property
    def steps(self) -> Sequence[Mapping[str, object]]:
        """The calls of tools and their results, as messages between the user's and the reply."""
        return self._rounds.steps if self._rounds is not None else ()

    async def run(self, job_id: str, envelope: Envelope, acquired: Acquired) -> ChatResult:
        """The turn's result. Raises LLMError or InvalidJob."""
        self._watch = Stopwatch()
        job = envelope.job
        rounds = self._rounds = tool_rounds(
            self._services,
            self._profile,
            job,
            job_id=job_id,
            attempt=acquired.attempt,
            on_event=self._called,
        )
        history: Sequence[Mapping[str, object]] = decode_messages(acquired.history).messages
        self._noted = await told_of_earlier(self._services, self._profile, job, acquired)
        self._stored_messages = acquired.stored_messages
        exchanges = [await self._exchange(job, history, rounds)]
        while await rounds.take(exchanges[-1].answer):
            passing(CrashPoint.TOOLS_DONE)
            exchanges.append(await self._exchange(job, history, rounds))
        passing(CrashPoint.MODEL_DONE)
        *earlier, last = exchanges
        return result_of(
            job_id,
            job,
            last,
            parsed=parsed_answer(last.answer, job),
            earlier=[exchange.answer for exchange in earlier],
            attempt=acquired.attempt,
            stored_messages=acquired.stored_messages,
            timings=self._watch.timings(last.answer, sent_at=envelope.sent_at),
        )

    async def _exchange(
        self, job: ChatJob, history: Sequence[Mapping[str, object]], rounds: ToolRounds
    ) -> Exchange:
        """One call of the model, with what its tools have done in this turn so far."""
        settings, ask = self._services.settings.llm, job.ask
        model = model_of(ask, self._profile, settings)
        precedent = precedent_of(history, model)

        def fitted(ask: Ask, budget: TokenBudget) -> Prompt:
            return prompt_for(
                ask,
                self._profile,
                history,
                settings,
                budget,
                precedent=precedent,
                steps=rounds.steps,
                tools=rounds.offered,
            )

        async def make(budget: TokenBudget) -> Prompt:
            prompt = fitted(ask, budget)
            if self._noted is not None and prompt.history_messages < self._stored_messages:
                prompt = replace(fitted(self._noted, budget), has_summary=True)
            capabilities = self._services.capabilities
            return prompt.asking(await within_abilities(prompt.request, ask, capabilities))

        session = f"{job.agent_id}:{job.session_id}"
        stream = partial(self._stream, session=session)
        fitted_call = FittedCall(self._services.context_limits, stream, self)
        bound = reply_bound(ask, self._profile, settings)
        while True:
            try:
                return await fitted_call.ask(make, model, bound)
            except ContextOverflowError:
                if not rounds.shorten():
                    raise

    def _stream(self, request: ChatRequest, *, session: str) -> AsyncGenerator[Delta | Final, None]:
        limits = self._services.settings.llm.timeouts
        if request.tools:
            limits = limits.for_tools()
        ollama = self._services.ollama
        return ollama.stream(request, session=session, timeouts=limits, held_slot=self._held_slot)

    def on_start(self, model: str) -> None:
        """The model is asked, perhaps not for the first time: what it has said is dropped."""
        self._said.clear()
        self._watch.begin()
        self._tell(EventType.STARTED, data={"model": model})

    def on_delta(self, delta: Delta) -> None:
        """A piece of the reply has come."""
        self._watch.on_delta()
        self._said.append(delta.text)
        if delta.thinking:
            self._tell(EventType.THINKING, text=delta.thinking)
        if delta.text:
            self._tell(EventType.TOKEN, text=delta.text)
        passing(CrashPoint.TOKEN)

    def _called(self, event: ToolEvent) -> None:
        self._said.clear()
        self._tell(EventType.TOOL_CALL, data=event.data)
