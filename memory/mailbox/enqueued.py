"""What the operations answer that take a job into a mailbox, as values."""

from dataclasses import dataclass, replace
from enum import StrEnum

from memory.mailbox.codes import code_and_rest, raw, sequence_of, unexpected_reply


class EnqueueOutcome(StrEnum):
    """Whether a job is in the mailbox now."""

    NEW = "NEW"
    PENDING = "PENDING"
    DONE = "DONE"
    CONFLICT = "CONFLICT"
    FULL = "FULL"


@dataclass(frozen=True, slots=True)
class Untold:
    """A job that another has taken the place of, and of whose end nobody has been told yet.

    `into` is the job that it is merged into; "" where it was withdrawn.
    """

    job_id: str
    into: str = ""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to ENQUEUE, INTERRUPT, SUPERSEDE and MERGE.

    `seq_us` and `position` are those of NEW and PENDING; at position 0 the caller publishes the
    wake-up. `is_committed` says of DONE whether there is a turn (else cancelled, merged or dead).
    `pending` is the number of jobs at FULL, `first` the first of them.
    `stopping` is a job whose holder is to be told now to stop, `wake` one that is to be woken now.
    """

    outcome: EnqueueOutcome
    seq_us: int = 0
    position: int = -1
    is_committed: bool = False
    pending: int = 0
    first: str = ""
    stopping: str = ""
    wake: str = ""
    untold: tuple[Untold, ...] = ()

    @classmethod
    def from_reply(cls, reply: object) -> "Enqueued":
        """Read the reply of enqueue.lua."""
        outcome, rest = code_and_rest(EnqueueOutcome, reply)
        match outcome, rest:
            case EnqueueOutcome.DONE, [int(mark_ms)]:
                return cls(outcome, is_committed=mark_ms > 0)
            case EnqueueOutcome.CONFLICT, []:
                return cls(outcome)
            case EnqueueOutcome.FULL, [int(pending), bytes(first)]:
                return cls(outcome, pending=pending, first=first.decode())
            case ((EnqueueOutcome.NEW | EnqueueOutcome.PENDING), [int(seq_us), int(position)]):
                return cls(outcome, seq_us=seq_us, position=position)
        raise unexpected_reply(reply)

    @classmethod
    def from_taking_over(cls, reply: object) -> "Enqueued":
        """Read the reply of interrupt.lua, supersede.lua or merge.lua."""
        match reply:
            case [bytes(code), int(seq), int(position), bytes(stopping), bytes(wake), untold]:
                plain = cls.from_reply([code, seq, position])
                others = read_untold(untold)
                return replace(plain, stopping=stopping.decode(), wake=wake.decode(), untold=others)
            case [b"NEW" | b"PENDING", *_]:
                raise unexpected_reply(reply)
        return cls.from_reply(reply)


def read_untold(reply: object) -> tuple[Untold, ...]:
    """The pairs of HGETALL, or its mapping (RESP3)."""
    if isinstance(reply, dict):
        reply = [text for pair in reply.items() for text in pair]
    texts = [raw(text).decode() for text in sequence_of(raw, reply)]
    if len(texts) % 2:
        raise unexpected_reply(reply)
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return tuple(Untold(job_id, into) for job_id, into in pairs)
