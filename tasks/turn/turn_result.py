"""What a turn comes to: the result of its job, with a receipt of what its model was shown. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias, cast

from pydantic import JsonValue

from agents import FULL, ClientCalls, PromptForm
from agents.empty_reply import emptiness_of
from llm import ModelReply, ToolCall
from memory import Acquired
from tasks.job.job import ChatJob
from tasks.job.result import ChatResult, FunctionCall, Receipt, ReceiptRepairs, Usage
from tasks.turn.fitted_call import FittedReply
from tasks.turn.reply_check import ParsedReply

MAX_NAMED = 32
"""So many messages are named in a receipt: it lies in the history with each reply."""

Places: TypeAlias = Callable[[int], int]


def places_of(read: Sequence[int], acquired: Acquired) -> Places:
    """Where a message of a prompt stands in the stored history; `read` are the places of those that
    were read among the elements that came with the job."""
    first = acquired.stored_messages - len(acquired.history)

    def place(at: int) -> int:
        if at < len(read):
            return first + read[at]
        return acquired.stored_messages + at - len(read)

    return place


def result_of(
    job_id: str,
    job: ChatJob,
    replies: Sequence[FittedReply],
    acquired: Acquired,
    *,
    stored_messages: int | None = None,
    place: Places = int,
    parsed: ParsedReply | None = None,
    called: ClientCalls | None = None,
) -> ChatResult:
    """The result of a turn that was just computed, without its timings.

    All but the last of `replies` called tools: their tokens are in the usage too; the receipt is
    that of the last. `stored_messages` are those before the question; `parsed` is the JSON of the
    reply where the job has a format, `called` what it has called of the client's.
    """
    last = replies[-1]
    answer = last.answer
    stored = acquired.stored_messages if stored_messages is None else stored_messages
    result = ChatResult(
        job_id=job_id,
        agent_id=job.agent_id,
        session_id=job.session_id,
        response=answer.text,
        model=answer.final.model,
        usage=_usage([reply.answer for reply in replies]),
        done_reason=answer.final.done_reason,
        attempt=acquired.attempt,
        history_messages=last.prompt.history_messages,
        receipt=_receipt(last, stored, place),
    )
    _add_what_there_is(result, job, answer)
    if parsed is not None:
        result["response"], result["parsed"] = parsed
    if called is not None:
        result["response"], result["calls"] = called.text, [*map(_call, called.calls)]
    return result


def calls_in(steps: Sequence[Mapping[str, object]]) -> int:
    """How many calls of the agent's tools have a result among the messages of a turn."""
    return sum(step.get("role") == "tool" for step in steps)


def _add_what_there_is(result: ChatResult, job: ChatJob, answer: ModelReply) -> None:
    if (empty := emptiness_of(answer)) is not None:
        result["empty"] = empty.value
    if answer.final.server:
        result["server"] = answer.final.server
    if job.metadata is not None:
        result["metadata"] = job.metadata


def _call(call: ToolCall) -> FunctionCall:
    arguments = cast("dict[str, JsonValue]", dict(call.arguments))
    return FunctionCall(call_id=call.id or "", name=call.name, arguments=arguments)


def _usage(answers: Sequence[ModelReply]) -> Usage:
    return Usage(
        prompt_tokens=sum(answer.final.prompt_tokens for answer in answers),
        completion_tokens=sum(answer.final.completion_tokens for answer in answers),
    )


def _receipt(reply: FittedReply, stored_messages: int, place: Places) -> Receipt:
    prompt, final = reply.prompt, reply.answer.final
    receipt = Receipt(
        messages_sent=len(prompt.request.messages),
        messages_left_out=max(0, stored_messages - prompt.history_messages),
        summary=prompt.has_summary,
        window_tokens=reply.budget.window_tokens if reply.budget.is_known else None,
        estimated_prompt_tokens=prompt.fit.estimated_tokens,
        prompt_tokens=final.prompt_tokens or None,
        done_reason=final.done_reason,
        truncated=reply.is_truncated,
        fallback_for=None,
    )
    if prompt.repairs:
        named = {
            name: [*map(place, at[-MAX_NAMED:])] for name, at in asdict(prompt.repairs).items()
        }
        receipt["repairs"] = cast(ReceiptRepairs, {name: at for name, at in named.items() if at})
    if plain := _plain(prompt.form):
        receipt["plain"] = plain
    if (empty := emptiness_of(reply.answer)) is not None:
        receipt["empty"] = empty.value
    if reply.is_second:
        receipt["asked_again"] = True
    return receipt


def _plain(form: PromptForm) -> str | None:
    if form.takes_system == FULL.takes_system:
        return None
    return "texts" if form.has_history else "message"
