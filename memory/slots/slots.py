"""The slots of a model: how many calls each server gets at once, from all workers.

A worker takes a slot under the token of its session's lease, renews the slot with that lease, and
releases it in the pipeline that ends the turn. A session that gets none becomes a waiter. A model
has one list of waiters for all of its servers: each class of urgency gets its share, in a class the
agents are served in turn, and of each agent the session whose job arrived first. A free slot is
reserved for the next waiter (GRANT_SLOTS), and the process that caused the grant wakes that
session. The list only decides who is next: the job is still in its mailbox, whose sweeper waits
longer for it, so a lost grant delays a job and loses nothing. Why it is so is in docs/decisions.md.

Pure, as `mailbox`: methods return commands, which an executor sends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from memory.key_groups import SlotKeys
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import SLOTS_TTL_MS
from memory.mailbox import due_list
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import Swept
from memory.priority import RANKS, Priority, Shares
from memory.records.index import Entry, newest, touch_index
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import (
    after_ok,
    count,
    flag,
    integer,
    nothing,
    optional,
    text,
    unexpected_reply,
)
from memory.slots.occupancy import SlotWait

SLOT_WAIT_MS = 120_000
"""How long no sweeper wakes a mailbox whose head waits for a slot."""
WAITING_MODELS_MAX = 1000
# As classes.lua has it: the first and the last of what the waiters of a class can be called.
_ENTRIES = {
    Priority.INTERACTIVE: ("[!", '("'),
    Priority.NORMAL: ("[$", "+"),
    Priority.BATCH: ("[#", "($"),
}

TAKE_SLOT = LuaScript.load("slots", "take_slot")
RENEW_SLOT = LuaScript.load("slots", "renew_slot")
WAIT_FOR_SLOT = LuaScript.load("slots", "wait_for_slot")
RELEASE_SLOT = LuaScript.load("slots", "release_slot")
EXPIRE_SLOTS = LuaScript.load("slots", "expire_slots")
GRANT_SLOTS = LuaScript.load("slots", "grant_slots")
SCRIPTS = (TAKE_SLOT, RENEW_SLOT, WAIT_FOR_SLOT, RELEASE_SLOT, EXPIRE_SLOTS, GRANT_SLOTS)


@dataclass(frozen=True, slots=True)
class Slots:
    """The commands on the slots of one model, of which each of the `servers` has `limit`, but for
    those that have a limit of their own.

    Each is safe to repeat after a lost reply; each may raise CorruptData when sent: a key holds
    another type than ours.
    """

    keyspace: Keyspace
    model: str
    servers: tuple[str, ...]
    limit: int
    own_limits: Mapping[str, int] = field(default_factory=dict)
    shares: Shares = field(default_factory=Shares)

    def limits(self, servers: Sequence[str]) -> tuple[int, ...]:
        """How many slots each of these servers has."""
        return tuple(self.own_limits.get(server, self.limit) for server in servers)

    @property
    def keys(self) -> SlotKeys:
        """The keys of the model at these servers."""
        return self.keyspace.slots(self.model, self.servers)

    def take(
        self, session: SessionKeys, token: str, *, lease_ms: int, servers: Sequence[str] = ()
    ) -> Command[str | None]:
        """Take a slot for the holder of a session's lease, at one of `servers`, the best first.

        The server; None where none is free: give the lease back, then `wait`.
        """
        # All are passed: the session may hold a slot at a server that may not be asked any more.
        others = [server for server in self.servers if servers and server not in servers]
        known = (*(servers or self.servers), *others)
        choice = len(known) - len(others)
        keys = self.keyspace.slots(self.model, known)
        return TAKE_SLOT.command(
            lambda reply: _read_taken(reply, known),
            keys,
            session=self._name(session),
            token=token,
            lease_ms=lease_ms,
            limits=self._limits(known),
            choice=choice,
            ttl_ms=SLOTS_TTL_MS,
        )

    def renew(self, token: str, *, lease_ms: int) -> Command[bool]:
        """Prolong a slot; False: it is lost."""
        return RENEW_SLOT.command(
            flag, self.keys, token=token, lease_ms=lease_ms, ttl_ms=SLOTS_TTL_MS
        )

    def wait(
        self, session: SessionKeys, *, arrived_us: int, priority: Priority = Priority.NORMAL
    ) -> Command[SlotWait]:
        """Add a session to the waiters of its class; its lease was given back before."""
        return WAIT_FOR_SLOT.command(
            _read_slot_wait,
            self.keys,
            session=self._name(session),
            priority=priority,
            # With leading zeros the order of the texts is the order of the times.
            arrived=f"{arrived_us:016d}",
            limits=self._limits(self.servers),
            shares=str(self.shares),
            ttl_ms=SLOTS_TTL_MS,
        )

    def release(self, token: str, *, took_ms: int | None) -> Command[bool]:
        """Release a slot that was taken for `took_ms`; send `grant_next` with it.

        None: no call was made, and nothing goes into the mean length of a call.
        """
        return self._release(token, "" if took_ms is None else took_ms)

    def unreserve(self, session: SessionKeys) -> Command[bool]:
        """Release the slot that is reserved for a session which will not come, as `release`."""
        # Nothing was called, so nothing goes into the mean.
        return self._release(self._name(session), "")

    def expire(self, *, lease_ms: int, most_reserve_ms: int) -> Command[int]:
        """Release the slots whose lease has expired. How many; send `grant_next` with it.

        No slot is believed to be taken for more than `lease_ms`, or reserved for more than
        `most_reserve_ms`, from now.
        """
        # No TTL of a key can do it: all slots of a server are members of one set.
        return EXPIRE_SLOTS.command(
            count,
            self.keys,
            lease_ms=lease_ms,
            most_reserve_ms=most_reserve_ms,
            ttl_ms=SLOTS_TTL_MS,
        )

    def grant_next(
        self, *, reserve_ms: int, servers: Sequence[str] = ()
    ) -> Command[list[SessionKeys]]:
        """Reserve each free slot at `servers` for the next waiter. The sessions to wake.

        Each reservation holds for `reserve_ms`.
        """
        asked = servers or self.servers
        return GRANT_SLOTS.command(
            self._read_granted,
            self.keyspace.slots(self.model, asked),
            limits=self._limits(asked),
            shares=str(self.shares),
            reserve_ms=reserve_ms,
            ttl_ms=SLOTS_TTL_MS,
        )

    def note_waiting(self) -> Command[int]:
        """Put the model on the sweeper's list; send it before `wait`."""
        # Before: a process that dies in between leaves a model that the sweeper looks at for
        # nothing, not a waiter that nobody looks for.
        return ignore_corrupt(touch_index(self.keyspace.waiting_models, self.keys.tag), 0)

    def waiting(self) -> Command[int]:
        """How many sessions wait."""
        return Command(integer, ("ZCARD", self.keys.waiters))

    def waiting_of(self) -> list[Command[int]]:
        """How many sessions of each class wait, a command for each, by rank."""
        return [Command(integer, ("ZLEXCOUNT", self.keys.waiters, *_ENTRIES[one])) for one in RANKS]

    def taken(self) -> list[Command[int]]:
        """How many slots are taken or reserved, a command for each server."""
        return [Command(integer, ("ZCARD", slots)) for slots in self.keys.slots]

    def mean_ms(self) -> Command[float | None]:
        """The mean time for which a slot is taken."""
        return Command(optional(float), ("HGET", self.keys.call_stats, "mean_ms"))

    def _release(self, who: str, took_ms: int | str) -> Command[bool]:
        return RELEASE_SLOT.command(flag, self.keys, who=who, took_ms=took_ms, ttl_ms=SLOTS_TTL_MS)

    def _read_granted(self, reply: object) -> list[SessionKeys]:
        before = f"{self.keyspace.prefix}:history:"
        return [self.keyspace.parse_history(before + text(name)) for name in after_ok(reply)]

    def _limits(self, servers: Sequence[str]) -> str:
        return ",".join(map(str, self.limits(servers)))

    def _name(self, session: SessionKeys) -> str:
        # As in its key: both ids are encoded, so the scripts can split them at the colon.
        return session.history.removeprefix(f"{self.keyspace.prefix}:history:")


def waiting_models(keyspace: Keyspace) -> Command[list[Entry]]:
    """The models that sessions waited for, the latest first; a member is a `SlotKeys.tag`."""
    return newest(keyspace.waiting_models, limit=WAITING_MODELS_MAX)


def model_of(tag: str) -> str:
    """The model that a `SlotKeys.tag` names."""
    return unquote(tag)


def wake_waiting(
    mailbox: Mailbox, *, grace_ms: int
) -> tuple[Command[int], Command[None], Command[Swept]]:
    """SWEEP for a mailbox whose head need not wait any more: a slot is reserved for it, or a server
    of its model is back.

    As after every wake-up, the sweeper looks again when `grace_ms` have passed.
    """
    keys = mailbox.keys
    schedule = due_list.schedule(mailbox.keyspace.due, keys.history, delay_ms=grace_ms)
    forget = Command(nothing, ("HDEL", keys.lease, "slot_wait_until"))
    # SCHEDULE first: the process that wakes the session may die before its message is sent.
    return ignore_corrupt(schedule, 0), forget, mailbox.sweep(grace_ms)


def last_turn_us(keys: SessionKeys) -> Command[int]:
    """When a session's last turn was committed, µs; 0 where there was none for a week.

    A job arrives at a model when it was sent, or when the turn before it ended if that is later.
    """
    # docs/decisions.md, "Slots per server, waiters per model, and the mailbox behind them".
    # The marks of committed turns are positive times, all others negative: the last is the latest.
    return Command(_read_last_turn, ("ZRANGE", keys.done, -1, -1, "WITHSCORES"))


def _read_last_turn(reply: object) -> int:
    match reply:
        case []:
            return 0
        case [bytes(), bytes(at_ms)]:
            return max(0, round(float(at_ms) * 1000))
    raise unexpected_reply(reply)


def _read_taken(reply: object, servers: Sequence[str]) -> str | None:
    number = count(reply)
    if number > len(servers):
        raise unexpected_reply(reply)
    return servers[number - 1] if number > 0 else None


def _read_slot_wait(reply: object) -> SlotWait:
    match after_ok(reply):
        case [int(ahead), int(wait_ms)]:
            return SlotWait(ahead, None if wait_ms < 0 else wait_ms)
    raise unexpected_reply(reply)
