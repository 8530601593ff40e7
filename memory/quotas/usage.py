"""What was used on each day, by whom and of which model: tokens, turns, time, calls of tools.

A turn is counted where its end is delivered: its numbers lie in the outbox since the step that
committed it, and RELEASE_JOBS, which takes a job off the pending ones once, counts them then. What
an attempt without a reply or a summary has used is counted by itself, once by its id
(docs/decisions.md, "Usage is counted where a job's end is released"). A day is one of UTC, by the
server's clock.

Pure, as `mailbox`: functions return commands.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from operator import add, attrgetter
from typing import Self

from memory.ids import MAX_ID_BYTES, encode_id, read_id
from memory.keys import Keyspace
from memory.quotas.owners import Owner, user_name
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import count, integer, optional, pairs

COUNT_USAGE = LuaScript.load("quotas", "count_usage")

MOST_NAMES = 2000
"""So many agents, users and models a day have a row of their own; those beyond it share one."""
KEPT_DAYS = 400
AGENT, USER, MODEL, DAY = "a:", "u:", "m:", "d:"
"""How the names of rows begin: of a whole day there is one, without a name."""
_FIRST = date(1970, 1, 1)
MOST_DIGITS = 15


@dataclass(slots=True)
class Spent:
    """What was used. Tokens are as the models' servers count them; `slot_ms` is how long the slots
    of models were held, by turns and by attempts that came to none.

    `unfinished` are attempts without a reply: they failed, were cancelled, or lost their session.
    Their tokens, and those of summaries, are not among `tokens_in` and `tokens_out`.
    """

    turns: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    slot_ms: int = 0
    tool_calls: int = 0
    unfinished: int = 0
    unfinished_tokens_in: int = 0
    unfinished_tokens_out: int = 0
    summaries: int = 0
    summary_tokens_in: int = 0
    summary_tokens_out: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(*map(add, _numbers(self), _numbers(other)))

    @property
    def tokens(self) -> int:
        """All tokens, whatever they were for."""
        turns = self.tokens_in + self.tokens_out
        unfinished = self.unfinished_tokens_in + self.unfinished_tokens_out
        return turns + unfinished + self.summary_tokens_in + self.summary_tokens_out

    @property
    def packed(self) -> str:
        """As a row has it."""
        return " ".join([str(max(0, number)) for number in _numbers(self)])

    @classmethod
    def parsed(cls, stored: bytes) -> Self:
        """`packed` the other way round; what is no number of ours counts as 0."""
        found = stored.split()[: len(fields(cls))]
        return cls(*(int(one) if one.isdigit() and len(one) <= MOST_DIGITS else 0 for one in found))


_numbers = attrgetter(*(field.name for field in fields(Spent)))


def model_row(model: str) -> str:
    """The row of a model."""
    is_name = model and len(model.encode(errors="replace")) <= MAX_ID_BYTES
    return MODEL + (encode_id(model, what="model") if is_name else "")


def rows_of(owners: Sequence[Owner], model: str) -> tuple[str, ...]:
    """The rows that something is added to which these owners of a job have used."""
    names = [one.name for one in owners if one.name.startswith(AGENT)]
    users = [USER + one.name.removeprefix("n:") for one in owners if one.name.startswith("n:")]
    return DAY, *names, *users, model_row(model)


def count_once(
    keyspace: Keyspace, name: str, spent: Spent, rows: Sequence[str], *, now_s: float | None = None
) -> Command[int]:
    """Count what was used, once by its `name`; a repeat within ten minutes is none.

    Where a key is damaged, that is logged, and it is not counted.
    """
    first_day, days = days_around(keyspace, now_s)
    counted = COUNT_USAGE.command(
        count,
        keyspace.quotas,
        more_keys=days,
        first_day=first_day,
        most_names=MOST_NAMES,
        id=name,
        numbers=spent.packed,
        names=tuple(rows),
    )
    return ignore_corrupt(counted, 0)


def days_around(keyspace: Keyspace, now_s: float | None = None) -> tuple[int, tuple[str, ...]]:
    """Yesterday, today and tomorrow by this machine's clock, of which the server's clock chooses:
    the number of the first since 1970, and the key of each."""
    today = datetime.fromtimestamp(time.time() if now_s is None else now_s, UTC).date()
    days = [today + timedelta(days=one) for one in (-1, 0, 1)]
    return (days[0] - _FIRST).days, tuple(map(keyspace.usage, map(_written, days)))


def of_day(keyspace: Keyspace, day: date, kind: str) -> Command[dict[str, Spent]]:
    """What each of a kind (AGENT, USER or MODEL) has used on a day; "" stands for all those that
    have no row of their own."""

    def read(reply: object) -> dict[str, Spent]:
        rows = ((one.decode(errors="replace"), numbers) for one, numbers in pairs(reply))
        return {
            read_id(name.removeprefix(kind)): Spent.parsed(numbers)
            for name, numbers in rows
            if name.startswith(kind)
        }

    return ignore_corrupt(Command(read, ("HGETALL", keyspace.usage(_written(day)))), {})


def whole_day(keyspace: Keyspace, day: date) -> Command[Spent]:
    """What was used on a day in all."""

    def read(reply: object) -> Spent:
        return optional(Spent.parsed)(reply) or Spent()

    return ignore_corrupt(Command(read, ("HGET", keyspace.usage(_written(day)), DAY)), Spent())


def forget_user(keyspace: Keyspace, user: str, today: date) -> Iterable[Command[int]]:
    """Forget what a user has used, on all days that are kept. The sums of days, agents and models
    stay."""
    row = USER + user_name(user)
    for age in range(-1, KEPT_DAYS + 1):
        key = keyspace.usage(_written(today - timedelta(days=age)))
        yield ignore_corrupt(Command(integer, ("HDEL", key, row)), 0)


def _written(day: date) -> str:
    return f"{day:%Y%m%d}"
