"""What a turn finds in its session: the history, and of a turn that a client's functions have
interrupted the question and what has followed it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from agents import Ask, Profile
from agents.client_functions import last_turn
from memory import Acquired, AsyncConnection, SessionKeys
from memory.records import history
from tasks.job.failure_code import QuestionGone
from tasks.job.job import ChatJob
from tasks.turn.context import MOST_MESSAGES, messages_to_bring
from tasks.turn.turn_result import Places, places_of

Messages = Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Past:
    """What the model is asked, the `history` before it, of `stored_messages` in all, and what is
    `done` of the turn before this job. `place` is where a message stands in the stored history."""

    ask: Ask
    history: Messages = field(repr=False)
    stored_messages: int
    place: Places
    done: Messages = field(default=(), repr=False)


async def past_of(
    memory: AsyncConnection, keys: SessionKeys, profile: Profile, job: ChatJob, acquired: Acquired
) -> Past:
    """What the turn of a job finds. Raises InvalidJob for results of functions that no question
    stands before, MemoryServiceError and CannotRead."""
    acquired = await _enough(memory, keys, profile, job, acquired)
    read = await history.decode_in_slices(keys, acquired.history)
    before: Sequence[Mapping[str, JsonValue]] = job.preceding or ()
    found = [*read.messages, *before]
    past = Past(
        ask=job.ask,
        history=found,
        stored_messages=acquired.stored_messages + len(before),
        place=places_of(read.places, acquired),
    )
    return _going_on(past) if job.continues else past


def _going_on(past: Past) -> Past:
    """The past of a job that asks nothing: it goes on with the last question."""
    earlier, turn = last_turn(past.history)
    if not turn:
        raise QuestionGone(
            "the question that the results of functions belong to is not kept any more"
        )
    question, *done = turn
    images = question.get("images")
    shown = tuple(map(str, images)) if isinstance(images, list) else ()
    ask = replace(past.ask, message=str(question.get("content") or ""), images=shown)
    stored_messages = past.stored_messages - len(turn)
    return replace(past, ask=ask, history=earlier, stored_messages=stored_messages, done=done)


async def _enough(
    memory: AsyncConnection, keys: SessionKeys, profile: Profile, job: ChatJob, acquired: Acquired
) -> Acquired:
    """The same with as much of the history as the job needs. ACQUIRE cannot know that calls of
    functions lie between what was said: only the job says so."""
    if not job.functions and not job.continues:
        return acquired
    wanted = messages_to_bring(profile, job.max_history, has_functions=True)
    if job.continues:
        wanted = max(wanted, MOST_MESSAGES)
    if len(acquired.history) >= min(wanted, acquired.stored_messages):
        return acquired
    # The lease keeps all other turns out meanwhile.
    found = await memory.run(history.stored(keys, at_most=wanted))
    stored = max(acquired.stored_messages, len(found))
    return replace(acquired, history=tuple(found), stored_messages=stored)
