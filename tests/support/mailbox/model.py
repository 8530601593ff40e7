"""What a mailbox promises, as a few plain Python values: the model that the scripts are held to."""

from dataclasses import dataclass, field

from memory.mailbox.intake import EnqueueOutcome, OnBusy
from memory.mailbox.outcomes import (
    AcquireOutcome,
    CommitOutcome,
    DiscardOutcome,
    Ending,
    SweepOutcome,
)


@dataclass
class Lease:
    """Who works on which job until when."""

    token: str
    job: str
    until_ms: int


@dataclass
class End:
    """How a job has ended, and who delivers that until when."""

    kind: str
    owner: str
    until_ms: int


@dataclass
class Model:
    """One mailbox. Each method answers as the operation of its name must."""

    lease_ms: int
    max_attempts: int
    cap: int
    gap_ms: int
    grace_ms: int
    dead_bytes: int
    now_ms: int = 0
    pending: list[str] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    dead: list[str] = field(default_factory=list)
    attempts: int = 0
    lease: Lease | None = None
    not_before_ms: int = 0
    last_failed: str | None = None
    stopped: set[str] = field(default_factory=set)
    """Jobs that an interrupt has come after."""
    carried: dict[str, list[str]] = field(default_factory=dict)
    """What was merged into a job, the oldest first."""
    ends: dict[str, End] = field(default_factory=dict)
    """Of jobs whose result is not delivered."""
    delayed: dict[str, int] = field(default_factory=dict)
    """When each is due."""
    woken_ms: int = 0
    wakes: int = 0

    @property
    def live_ms(self) -> int:
        """How long the lease still lives."""
        return max(0, self.lease.until_ms - self.now_ms) if self.lease else 0

    @property
    def next(self) -> str | None:
        """The job that an answer with `next` names."""
        return self.pending[0] if self.pending and not self.live_ms else None

    @property
    def begun(self) -> list[str]:
        """The head, if an attempt at it counts."""
        return self.pending[:1] if self.attempts else []

    def holds(self, token: str, job: str) -> bool:
        """Whether `token` is the one of the lease, and on this job."""
        return self.lease is not None and (self.lease.token, self.lease.job) == (token, job)

    def enqueue(self, job: str) -> EnqueueOutcome:
        if job in self.committed or job in self.gone:
            return EnqueueOutcome.DONE
        if job in self.pending or self.is_early(job):
            return EnqueueOutcome.PENDING
        if len(self.pending) >= self.cap and job not in self.delayed:
            return EnqueueOutcome.FULL
        self.delayed.pop(job, None)
        self.pending.append(job)
        return EnqueueOutcome.NEW

    def is_early(self, job: str) -> bool:
        """Whether a job is delayed, and not due."""
        return self.delayed.get(job, 0) > self.now_ms

    def delay(self, job: str, wait_ms: int) -> EnqueueOutcome:
        if job in self.committed or job in self.gone:
            return EnqueueOutcome.DONE
        if job in self.pending or job in self.delayed:
            return EnqueueOutcome.PENDING
        if len(self.pending) + len(self.delayed) >= self.cap:
            return EnqueueOutcome.FULL
        self.delayed[job] = self.now_ms + wait_ms
        return EnqueueOutcome.NEW

    def take_in(self, job: str, on_busy: OnBusy, owner: str) -> EnqueueOutcome:
        """With all that it does to others, whose ends `owner` delivers."""
        cap, before = (1 if on_busy is OnBusy.REJECT else self.cap), self.pending
        stay = [] if on_busy is OnBusy.ROLLBACK else self.begun
        makes_room = on_busy in (OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING)
        if job in self.committed or job in self.gone or job in before or self.is_early(job):
            return self.enqueue(job)
        if len(stay if makes_room else before) >= cap and job not in self.delayed:
            return EnqueueOutcome.FULL
        self.delayed.pop(job, None)
        if on_busy is OnBusy.INTERRUPT:
            self.stopped |= set(before)
            self.not_before_ms, self.wakes = 0, 0
        elif makes_room or on_busy is OnBusy.MERGE:
            out = before[len(stay) :]
            if on_busy is OnBusy.MERGE:
                self.carried[job] = [one for o in out for one in (*self.carried.pop(o, []), o)]
            self.gone |= set(out)
            for one in out:
                self._end(one, "merged" if on_busy is OnBusy.MERGE else "cancelled", owner)
            self.pending = stay
            if not stay and (makes_room or out):
                self._forget_head()
                self.wakes = 0
        self.pending = [*self.pending, job]
        return EnqueueOutcome.NEW

    def acquire(self, job: str, token: str) -> AcquireOutcome:  # noqa: PLR0911 - eight answers
        if job in self.committed:
            return AcquireOutcome.DONE
        if job in self.gone:
            return AcquireOutcome.GONE
        if job not in self.pending:
            return AcquireOutcome.WAIT if job in self.delayed else AcquireOutcome.UNKNOWN
        if self.live_ms and not self.holds(token, job):
            return AcquireOutcome.BUSY
        if self.pending[0] != job:
            return AcquireOutcome.NOT_HEAD
        if self.not_before_ms > self.now_ms:
            return AcquireOutcome.WAIT
        return self._run(job, token)

    def _run(self, job: str, token: str) -> AcquireOutcome:
        if not self.holds(token, job):
            if self.attempts >= self.max_attempts and job not in self.stopped:
                self.dead.append(job)
                self._give_up(job, "failed", token)
                return AcquireOutcome.DEAD
            self.attempts += 1
        self.lease = Lease(token, job, self.now_ms + self.lease_ms)
        self.last_failed, self.not_before_ms, self.wakes = None, 0, 0
        return AcquireOutcome.RUN

    def renew(self, token: str) -> bool:
        if self.lease is None or self.lease.token != token:
            return False
        self.lease.until_ms = self.now_ms + self.lease_ms
        return True

    def commit(self, token: str, job: str) -> CommitOutcome:
        if job in self.committed:
            return CommitOutcome.ALREADY
        if job in self.gone:
            return CommitOutcome.GONE
        if not self.holds(token, job):
            return CommitOutcome.FENCED
        self.committed.append(job)
        self._end(job, "done", token)
        self._leave(job)
        return CommitOutcome.OK

    def fail(self, token: str, delay_ms: int, *, refund: bool) -> bool:
        if self.last_failed == token:
            return True
        if self.lease is None or self.lease.token != token:
            return False
        self.attempts -= refund
        is_to_stop = self.lease.job in self.stopped
        self.not_before_ms = self.now_ms + (0 if is_to_stop else delay_ms)
        self.lease, self.last_failed, self.wakes = None, token, 0
        return True

    def discard(self, job: str, token: str, owner: str, ending: Ending) -> DiscardOutcome:
        if job in self.committed:
            return DiscardOutcome.DONE
        if job in self.gone:
            return DiscardOutcome.GONE
        is_running = bool(self.live_ms) and self.lease is not None and self.lease.job == job
        if not self.holds(token, job) if token else is_running:
            return DiscardOutcome.RUNNING
        if ending is Ending.DEAD and (job in self.pending or job in self.delayed):
            self.dead.append(job)
        self._give_up(job, "cancelled" if ending is Ending.CANCELLED else "failed", owner)
        return DiscardOutcome.DISCARDED

    def too_large_bytes(self, envelope_bytes: int) -> int:
        """What a dead letter says of an envelope in place of keeping it; 0: it is kept."""
        return envelope_bytes if envelope_bytes > self.dead_bytes else 0

    def sweep(self) -> tuple[SweepOutcome, int]:
        if not self.pending:
            return SweepOutcome.IDLE, 0
        if self.live_ms:
            return SweepOutcome.BUSY, self.live_ms
        if self.not_before_ms > self.now_ms:
            return SweepOutcome.WAIT, self.not_before_ms - self.now_ms
        waited_ms = self.now_ms - self.woken_ms
        if self.wakes and waited_ms < self._gap_ms(self.wakes - 1):
            return SweepOutcome.WOKEN, self._gap_ms(self.wakes - 1) - waited_ms
        self.woken_ms, self.wakes = self.now_ms, self.wakes + 1
        return SweepOutcome.WAKE, self._gap_ms(self.wakes - 1)

    def _gap_ms(self, doublings: int) -> int:
        return self.gap_ms * int(2 ** min(doublings, 4))

    def take_ends(self, owner: str, claim_ms: int) -> dict[str, str]:
        """The ends that `owner` is to deliver: its own, and those whose owner had its time."""
        free = {
            job: end
            for job, end in self.ends.items()
            if end.owner == owner or end.until_ms <= self.now_ms
        }
        for end in free.values():
            end.owner, end.until_ms = owner, self.now_ms + claim_ms
        return {job: end.kind for job, end in free.items()}

    def _end(self, job: str, kind: str, owner: str) -> None:
        self.ends[job] = End(kind, owner, self.now_ms + self.grace_ms)

    def _give_up(self, job: str, kind: str, owner: str) -> None:
        self.gone.add(job)
        self._end(job, kind, owner)
        self.delayed.pop(job, None)
        if job in self.pending:
            self._leave(job)
        self.wakes = 0

    def _leave(self, job: str) -> None:
        if self.pending[0] == job:
            self._forget_head()
        self.pending.remove(job)
        self.wakes = 0

    def _forget_head(self) -> None:
        self.lease, self.attempts, self.not_before_ms = None, 0, 0
        self.last_failed = None
