"""What one attempt has heard of its reply: text, tokens, times, and the events for followers."""

import time

from agents import ToolEvent
from agents.tool_rounds import ToolProgress
from llm import Delta, Final, ModelReply
from memory import EventType
from memory.quotas.usage import Spent
from tasks.job.result import Receipt, Timings
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.live_events import AttemptEvents
from tasks.process.turns_now import TurnNow
from tasks.turn.attempt_place import place_of_attempt, trace_wait
from telemetry.labels import AGENTS
from telemetry.metrics import FIRST_TOKEN, LEFT_OUT, QUEUE_WAIT, SILENT_CUTS


class ReplyRecorder:
    """Hears the model calls of one attempt, from the start of the first one."""

    def __init__(self, events: AttemptEvents, shown: TurnNow) -> None:
        """`shown` is the turn as operators see it, which is kept up to date."""
        self._events = events
        self._shown = shown
        self._said: list[str] = []
        self._taken_at = time.time()
        self._started_s = time.monotonic()
        self._first_delta_s: float | None = None
        self._sent: tuple[str, float] | None = None
        self._sent_at = self._taken_at
        self._tokens_in, self._tokens_out, self._prompt_tokens, self._pieces = 0, 0, 0, 0
        self._began_s: float | None = None

    @property
    def spent(self) -> Spent:
        """What the attempt has used so far, counted as unfinished.

        A call that has not ended has its prompt estimated, and each piece counts as a token.
        """
        open_in = self._prompt_tokens if self._pieces else 0
        return Spent(
            slot_ms=self._turn_ms(),
            unfinished=1,
            unfinished_tokens_in=self._tokens_in + open_in,
            unfinished_tokens_out=self._tokens_out + self._pieces,
        )

    @property
    def model(self) -> str:
        """The model that was called last; "" where none was."""
        return self._shown.model

    @property
    def said(self) -> str:
        """What the model has said of its reply so far."""
        return "".join(self._said)

    def on_turn(self, agent_id: str, sent_at: float, attempt: int) -> None:
        """The turn begins of a job that was sent at this Unix time."""
        agent = AGENTS.label(agent_id)
        if attempt == 1:
            trace_wait(sent_at, self._taken_at)
            self._shown.queue_wait_s = max(0.0, self._taken_at - sent_at)
            QUEUE_WAIT.labels(agent).observe(self._shown.queue_wait_s)
            self._sent = (agent, sent_at)
        self._sent_at = sent_at

    def on_start(self, model: str) -> None:
        """The model is called, perhaps not for the first time: what it has said is dropped."""
        self._said.clear()
        self._started_s, self._first_delta_s = time.monotonic(), None
        self._began_s = self._began_s or self._started_s
        self._shown.on_start(model, self._events.attempt)
        self._events.emit(EventType.STARTED, data={"model": model, **place_of_attempt()})

    def on_server(self, url: str) -> None:
        """This server is asked, perhaps in place of another."""
        self._shown.server = url

    def on_prompt(self, tokens: int) -> None:
        """A prompt is sent, which has so many tokens by the estimate."""
        spent = self.spent
        self._tokens_in, self._tokens_out = spent.unfinished_tokens_in, spent.unfinished_tokens_out
        self._prompt_tokens, self._pieces = tokens, 0

    def on_answer(self, final: Final) -> None:
        """A call has ended, and its server has told what it has cost."""
        self._tokens_in += final.prompt_tokens
        self._tokens_out += final.completion_tokens
        self._prompt_tokens = self._pieces = 0

    def on_said(self, said: Delta, pieces: int) -> None:
        """Pieces of the reply have come, together."""
        if self._first_delta_s is None:
            self._first_delta_s = time.monotonic()
            self._note_first_token()
        self._pieces += pieces
        self._shown.on_pieces(pieces)
        # What a model thinks comes before what it says, also of those that come together.
        if said.thinking:
            self._events.emit(EventType.THINKING, said.thinking)
        if said.text:
            self._said.append(said.text)
            self._events.emit(EventType.TOKEN, said.text)
        crash_if_armed(CrashPoint.TOKEN)

    def on_tool(self, event: ToolEvent) -> None:
        """A tool is called or has answered: what was said before is no part of the reply."""
        self._said.clear()
        self._events.emit(EventType.TOOL_CALL, data=event.data)

    def on_progress(self, progress: ToolProgress) -> None:
        """A tool says how far it is."""
        self._events.emit(EventType.TOOL_PROGRESS, data=progress.data)

    def on_receipt(self, agent_id: str, receipt: Receipt) -> None:
        """The turn has a result: what did not fit, and what a server has cut without a word."""
        agent = AGENTS.label(agent_id)
        LEFT_OUT.labels(agent).inc(receipt["messages_left_out"])
        SILENT_CUTS.labels(agent).inc(receipt["truncated"])

    def _note_first_token(self) -> None:
        since_sent_s = max(0.0, time.time() - self._sent_at)
        if self._shown.first_token_s is None:
            self._shown.first_token_s = since_sent_s
        if self._sent is not None:
            FIRST_TOKEN.labels(self._sent[0]).observe(since_sent_s)
            self._sent = None

    def timings(self, answer: ModelReply, *, sent_at: float) -> Timings:
        """The times of the last call, with those that its server gives; `sent_at` is Unix time."""
        final, first_s = answer.final, self._first_delta_s
        first_ms = None if first_s is None else round((first_s - self._started_s) * 1000, 1)
        return Timings(
            queue_wait_ms=round(max(0.0, self._taken_at - sent_at) * 1000, 1),
            first_token_ms=first_ms,
            model_ms=round((time.monotonic() - self._started_s) * 1000, 1),
            load_ms=final.load_ms,
            slot_wait_ms=final.slot_wait_ms,
            prompt_eval_ms=final.prompt_eval_ms,
            eval_ms=final.eval_ms,
            tokens_per_s=final.tokens_per_s,
            turn_ms=self._turn_ms(),
        )

    def _turn_ms(self) -> int:
        """How long it is since the first call of the model; 0 where there was none."""
        return 0 if self._began_s is None else round((time.monotonic() - self._began_s) * 1000)
