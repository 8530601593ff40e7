"""Whether a job is taken in: the bounds on what there is in all, the quotas, and its mailbox.

Written once for all doors: `delay`, `tasks.aio.send`, and the worker that takes a raw job in.

How many jobs there are is told by the answer to each job that is sent, at no cost, and is what the
next one is judged by. So a process asks beforehand only with its first job, and where there is
hardly room left; and the bounds hold but for the jobs that are being sent at the same moment
(docs/decisions.md, "Jobs are counted beside their mailboxes").
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from memory import (
    Backpressure,
    Command,
    CorruptData,
    Enqueued,
    EnqueueOutcome,
    Keyspace,
    MemoryServiceError,
    MemoryUnavailable,
    index,
    unclaim,
)
from memory.ids import shown_id
from memory.mailbox.pointer import is_claimed
from memory.quotas import charges, pending
from memory.quotas.charges import Charged, ChargeOutcome
from memory.quotas.owners import Owner
from memory.quotas.pending import PendingCounts
from memory.redis.steps import Steps, asked
from tasks.errors import ChatError, LimitReached, QuotaExceeded, SessionBusy
from tasks.process.configuration import Settings
from tasks.submit.submission import Submission
from telemetry.metrics import QUOTA_REFUSALS

T = TypeVar("T")

logger = logging.getLogger(__name__)

FRESH_S = 1.0
"""So old may the last answer be where there is hardly room left."""
CROWDED = 0.8
MOST_AGENTS = 1000
"""Agents of which a process remembers how many jobs they have."""
UNKNOWN_WAIT_S = 1.0


@dataclass(slots=True)
class _Trial:
    """What one try to take a job in has taken for it, to be given back where it is refused."""

    owners: tuple[Owner, ...]
    is_charged: bool = False
    is_claimed: bool = False
    told: list[PendingCounts] = field(default_factory=list)


class Admission:
    """Takes jobs in; one for a process, from any thread."""

    def __init__(self, keyspace: Keyspace, settings: Settings) -> None:
        self._keyspace = keyspace
        self._settings = settings
        self._told: PendingCounts | None = None
        self._told_at_s = 0.0
        self._of_agent: dict[str, int] = {}

    def take_in(self, submission: Submission) -> Steps[Enqueued]:
        """The steps that take a job in. Safe to repeat with the same id.

        Raises LimitReached, QuotaExceeded, JobConflict, SessionBusy, memory.Backpressure: it is
        not in, and has cost nobody anything. MemoryUnavailable: it is not known; another
        MemoryServiceError: it is not in.
        """
        job = submission.job
        trial = _Trial(self._settings.owners_of(job.agent_id, job.user, submission.envelope.key))
        yield from self._check_bounds(submission)
        yield from self._charge(submission, trial)
        try:
            enqueued = yield from self._enqueue(submission, trial)
        except MemoryUnavailable:
            raise
        except (MemoryServiceError, ChatError) as refused:
            if not isinstance(refused, Backpressure | SessionBusy):
                trial.is_claimed = False  # the id is another request's, or nobody knows
            yield from self._give_back(submission, trial)
            raise
        if enqueued.outcome is EnqueueOutcome.DONE:
            trial.is_claimed = False
            yield from self._give_back(submission, trial)
        return enqueued

    def _enqueue(self, submission: Submission, trial: _Trial) -> Steps[Enqueued]:
        """Put the job into its mailbox, counted. Raises why it is refused."""
        wait_ms = submission.intake.wait_ms
        listed = self._settings.listed(submission.job)
        job_id, owners = submission.job_id, trial.owners
        note = pending.note(self._keyspace, job_id, owners, wait_ms=wait_ms, listed=listed)
        if submission.claim is not None:
            claimed = yield from asked(submission.claim)
            trial.is_claimed = submission.is_new_claim(claimed)
        # The count comes first: a process that dies in between must leave none too few.
        enqueued = yield from asked(_telling(note, trial.told.append), *submission.commands)
        if trial.told:
            self._remember(submission.job.agent_id, trial.told[-1])
        submission.check(enqueued)
        return enqueued

    def _give_back(self, submission: Submission, trial: _Trial) -> Steps[None]:
        """Give back what the job has taken. What cannot be given back now is free after a minute,
        or counts for a week: that is logged, and the job is refused all the same."""
        job_id = submission.job_id
        try:
            if trial.is_claimed:
                yield from asked(unclaim(self._keyspace, job_id))
            if trial.is_charged:
                yield from asked(charges.refund(self._keyspace, job_id, trial.owners))
            if trial.is_charged or (trial.told and trial.told[-1].is_new):
                # After what it was charged, and with its record.
                yield from asked(pending.release(self._keyspace, (job_id,)))
        except MemoryServiceError as exc:
            logger.info(
                "job %s was refused, but its id stays reserved for its request: %s",
                shown_id(job_id),
                exc,
            )

    # ---- bounds on what there is in all

    def _check_bounds(self, submission: Submission) -> Steps[None]:
        """Raise LimitReached where there is no room for the job."""
        agent_id = submission.job.agent_id
        if not self._must_ask(agent_id):
            return
        told: list[PendingCounts] = []
        look = _telling(pending.look(self._keyspace, agent_id), told.append)
        sessions = self._keyspace.sessions(agent_id)
        try:
            seen_ms = yield from asked(look, index.score(sessions, submission.job.session_id))
        except CorruptData:
            seen_ms = 0.0  # a damaged index fails no job
        if not told:
            return
        self._remember(agent_id, told[-1])
        refusal = self._refusal(agent_id, told[-1], is_known_session=seen_ms is not None)
        if refusal is not None and not (yield from self._is_repeat(submission)):
            raise LimitReached(refusal)

    def _must_ask(self, agent_id: str) -> bool:
        """Whether the job may be one too many, by what was told last."""
        told, queue = self._told, self._settings.queue
        if told is None or told.sessions >= queue.max_sessions:
            return True
        fill = max(
            told.pending / queue.max_pending_total,
            self._of_agent.get(agent_id, 0) / queue.max_pending_per_agent,
        )
        is_old = time.monotonic() - self._told_at_s > FRESH_S
        return fill >= 1 or (is_old and fill >= CROWDED)

    def _refusal(
        self, agent_id: str, counts: PendingCounts, *, is_known_session: bool
    ) -> str | None:
        """Why there is no room; None where there is."""
        queue = self._settings.queue
        if counts.pending >= queue.max_pending_total:
            jobs, name = f"{counts.pending} jobs wait or run", "CHAT_MAX_PENDING_TOTAL"
        elif counts.of_agent >= queue.max_pending_per_agent:
            jobs = f"{counts.of_agent} jobs of agent {shown_id(agent_id)} wait or run"
            name = "CHAT_MAX_PENDING_PER_AGENT"
        elif counts.sessions >= queue.max_sessions and not is_known_session:
            return (
                f"{counts.sessions} sessions are kept, so no new one can start; erase some, "
                "or raise CHAT_MAX_SESSIONS"
            )
        else:
            return None
        return f"{jobs}, so no new one is accepted; wait for some of them, or raise {name}"

    def _remember(self, agent_id: str, counts: PendingCounts) -> None:
        self._told, self._told_at_s = counts, time.monotonic()
        if len(self._of_agent) >= MOST_AGENTS:
            self._of_agent = {}
        self._of_agent[agent_id] = counts.of_agent

    # ---- quotas

    def _charge(self, submission: Submission, trial: _Trial) -> Steps[None]:
        """Take the job out of its owners' quotas. Raises QuotaExceeded."""
        if not any(owner.quota.is_set for owner in trial.owners):
            return
        try:
            charge = charges.charge(self._keyspace, submission.job_id, trial.owners)
            charged = yield from asked(charge)
        except CorruptData as exc:
            # docs/decisions.md, "A damaged key beside the sessions fails no job".
            logger.error("quotas are not applied until a key is repaired: %s", exc)
            return
        trial.is_charged = charged.outcome is ChargeOutcome.CHARGED
        if charged.outcome is ChargeOutcome.REFUSED and not (
            yield from self._is_repeat(submission)
        ):
            raise exceeded(submission.job.agent_id, charged)

    def _is_repeat(self, submission: Submission) -> Steps[bool]:
        """Whether the job was taken in before: it is answered, whatever there is no room for."""
        identity = submission.intake.identity(submission.keys)
        return (yield from asked(is_claimed(self._keyspace, submission.job_id, identity)))


def exceeded(agent_id: str, charged: Charged) -> QuotaExceeded:
    """The error for a job whose quota is used up."""
    wait_s = UNKNOWN_WAIT_S if charged.wait_ms is None else charged.wait_ms / 1000
    if charged.owner is None:
        raise AssertionError("a refusal names its owner")
    QUOTA_REFUSALS.labels(charged.rule).inc()
    rule = f"{getattr(charged.owner.quota, charged.rule)} {charged.rule.replace('_', ' ')}"
    if charged.owner.name.startswith("u:"):
        setting = f"CHAT_USER_{charged.rule.upper()}"
        return QuotaExceeded.after(f"the user's {rule} are used up ({setting})", wait_s)
    if charged.owner.name.startswith("k:"):
        return QuotaExceeded.after(f"the API key's {rule} are used up (griot keys)", wait_s)
    used_up = f"the {rule} of agent {shown_id(agent_id)} are used up (quota in its profile)"
    return QuotaExceeded.after(used_up, wait_s)


def _telling(command: Command[T], tell: Callable[[T], object]) -> Command[T]:
    """The same command; its answer is told, too, where it is not the one that counts."""

    def parse(reply: object) -> T:
        answer = command.parse(reply)
        tell(answer)
        return answer

    return command.read_by(parse)
