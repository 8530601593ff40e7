"""One turn: the model is shown its context and called, runs its tools, and gives the result."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from agents import (
    ClientSide,
    Profile,
    Toolbox,
    ToolContext,
    ToolRounds,
    UnknownTool,
)
from agents.empty_reply import again
from agents.tool_rounds import MAX_CALLS_PER_ROUND
from llm import (
    Capabilities,
    ChatRequest,
    ContextLimits,
    ContextOverflowError,
    Delta,
    Final,
    Fleet,
    HeldSlot,
    LLMSettings,
)
from memory import Acquired, AsyncConnection, SessionKeys
from memory.quotas.usage import Spent
from tasks.job.envelope import Envelope
from tasks.job.failure_code import FunctionClash, UnknownToolAsked
from tasks.job.job import ChatJob
from tasks.job.result import ChatResult
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.turn.context import TurnContext, messages_to_bring, summary_of
from tasks.turn.fitted_call import FittedCall, FittedReply
from tasks.turn.past import Past, past_of
from tasks.turn.read_back import ArchiveReader
from tasks.turn.reply_check import ReplyChecks
from tasks.turn.reply_recorder import ReplyRecorder
from tasks.turn.turn_result import calls_in, result_of


@dataclass(frozen=True, slots=True)
class Models:
    """What a turn takes: the servers, their limits and abilities, tools, the check of formats, what
    reads sessions back."""

    servers: Fleet
    context_limits: ContextLimits
    capabilities: Capabilities
    toolbox: Toolbox
    settings: LLMSettings
    max_tool_rounds: int
    reply_checks: ReplyChecks
    archive: ArchiveReader


class ModelTurn:
    """The turn of one attempt; `run` it once."""

    def __init__(
        self,
        models: Models,
        memory: AsyncConnection,
        profile: Profile,
        recorder: ReplyRecorder,
        slot: HeldSlot,
        *,
        fallback_for: str | None = None,
    ) -> None:
        """`fallback_for`: the model in whose place that of the profile is asked."""
        self._models = models
        self._memory = memory
        self._profile = profile
        self._recorder = recorder
        self._slot = slot
        self._fallback_for = fallback_for
        self._rounds: ToolRounds | None = None

    def falling_back(self, model: str, own: str) -> "ModelTurn":
        """The same turn from its beginning, with another model in the place of its `own`."""
        profile = replace(self._profile, model=model)
        return ModelTurn(
            self._models, self._memory, profile, self._recorder, self._slot, fallback_for=own
        )

    @property
    def has_begun(self) -> bool:
        """Whether the model has said something, or called a tool."""
        return bool(self.said or self.steps)

    @property
    def said(self) -> str:
        """What the model has said of its reply so far."""
        return self._recorder.said

    @property
    def spent(self) -> tuple[Spent, str]:
        """What the attempt has used so far, as one that has come to no reply, and the model."""
        spent = self._recorder.spent
        spent.tool_calls = calls_in(self.steps)
        return spent, self._recorder.model

    @property
    def steps(self) -> Sequence[Mapping[str, object]]:
        """The calls of tools and their results, as messages between the user's and the reply."""
        return self._rounds.steps if self._rounds is not None else ()

    async def run(
        self, keys: SessionKeys, job_id: str, envelope: Envelope, acquired: Acquired
    ) -> ChatResult:
        """The turn's result. Raises LLMError, InvalidJob or memory.MemoryServiceError."""
        job = envelope.job
        self._recorder.on_turn(job.agent_id, envelope.sent_at, acquired.attempt)
        rounds = self._rounds = self._new_rounds(job, job_id, acquired.attempt)
        wanted = messages_to_bring(self._profile, job.max_history)
        acquired, read_back = await self._models.archive.read_back(
            keys, job_id, acquired, wanted=wanted
        )
        past = await past_of(self._memory, keys, self._profile, job, acquired)
        summed_up = await summary_of(self._memory, keys, self._profile, job, acquired)
        shown = self._shown(past, rounds, summed_up)
        replies = await self._replies(shown, rounds, f"{job.agent_id}:{job.session_id}")
        crash_if_armed(CrashPoint.MODEL_DONE)
        parsed = await self._models.reply_checks.parsed(job.format, replies[-1].answer)
        result = result_of(
            job_id,
            job,
            replies,
            acquired,
            stored_messages=past.stored_messages,
            place=past.place,
            parsed=parsed,
            called=rounds.called,
        )
        result["receipt"]["fallback_for"] = self._fallback_for
        if read_back != 0:
            result["receipt"]["read_back"] = read_back
        if calls := calls_in(self.steps):
            result["usage"]["tool_calls"] = calls
        self._recorder.on_receipt(job.agent_id, result["receipt"])
        result["timings"] = self._recorder.timings(replies[-1].answer, sent_at=envelope.sent_at)
        return result

    def _shown(self, past: Past, rounds: ToolRounds, summed_up: str | None) -> TurnContext:
        return TurnContext(
            past.ask,
            self._profile,
            self._models.settings,
            self._models.capabilities,
            history=past.history,
            stored_messages=past.stored_messages,
            rounds=rounds,
            done=past.done,
            summary_text=summed_up,
        )

    async def _replies(
        self, shown: TurnContext, rounds: ToolRounds, session: str
    ) -> list[FittedReply]:
        """All that the model has answered; an empty last one is asked for once more."""
        replies = [await self._ask(shown, rounds, session)]
        is_asked_again = False
        while True:
            last = replies[-1]
            if await rounds.run_tool_calls(last.answer):
                crash_if_armed(CrashPoint.TOOLS_DONE)
            elif rounds.called is not None:
                return replies
            elif not is_asked_again and (request := again(last.prompt.request, last.answer)):
                is_asked_again = True
                if request.think is False:
                    shown.without_thinking()
            else:
                return [*replies[:-1], replace(last, is_second=True)] if is_asked_again else replies
            replies.append(await self._ask(shown, rounds, session))

    def _new_rounds(self, job: ChatJob, job_id: str, attempt: int) -> ToolRounds:
        """The tools of this attempt. Raises InvalidJob for a tool that the agent has not."""
        toolbox = self._models.toolbox
        functions = [function.as_offered for function in job.client_functions]
        try:
            tools = toolbox.of(self._profile, job.tool_names)
        except UnknownTool as exc:
            raise UnknownToolAsked(str(exc)) from None
        if twice := {tool.name for tool in tools} & {function.name for function in functions}:
            raise FunctionClash(f"functions: the agent has a tool {min(twice)!r} of its own")
        most_calls = 1 if job.parallel_tool_calls is False else MAX_CALLS_PER_ROUND
        return ToolRounds(
            tools,
            ToolContext(job.agent_id, job.session_id, job_id, attempt),
            max_rounds=self._models.max_tool_rounds,
            on_event=self._recorder.on_tool,
            on_progress=self._recorder.on_progress,
            reads_text=toolbox.reads_calls_in_text,
            client=ClientSide(self._models.reply_checks.fits, functions, most_calls),
        )

    async def _ask(self, shown: TurnContext, rounds: ToolRounds, session: str) -> FittedReply:
        """One call of the model, with what its tools have done in this turn so far."""
        chunks = partial(self._chunks, session=session)
        fitted_call = FittedCall(self._models.context_limits, chunks, self._recorder)
        while True:
            try:
                return await fitted_call.ask(shown)
            except ContextOverflowError:
                if not rounds.shorten():
                    raise

    def _chunks(
        self, request: ChatRequest, *, session: str
    ) -> AsyncGenerator[Sequence[Delta | Final], None]:
        timeouts = self._models.settings.timeouts
        if request.tools:
            timeouts = timeouts.for_tools()
        return self._models.servers.chunks(
            request,
            session=session,
            timeouts=timeouts,
            held_slot=self._slot,
            on_server=self._recorder.on_server,
        )
