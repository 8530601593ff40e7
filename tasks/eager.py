"""`task_always_eager`: whoever sends a job does it, too, before `delay` returns.

A job goes the way that it goes in a worker, from its mailbox to its result, so its reply, its
errors, its events and the history are the same. What a message or the sweeper brings about there is
done here in a loop: another attempt after a pause, the look whether a model server is back.
"""

import time

from tasks.attempt.finish import deliver_end
from tasks.attempt.start import start_attempt
from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, NotNow, Verdict
from tasks.beat.sweep import look_once
from tasks.job.envelope import JobRef
from tasks.process.app import app
from tasks.process.worker.services import worker_services
from tasks.submit.submission import Submission

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.25
"""How long a job that must wait is left alone; twice as long each time."""


def work_off(submission: Submission) -> None:
    """Do a job that lies in its mailbox; returns once it is over and its end is delivered.

    What becomes of it, be it an error, its result says. Blocks as long as a worker would take:
    through the pauses between attempts, while another job of the session runs, and while a model
    server is away (at most CHAT_MAX_WAIT_SECONDS). Raises MemoryServiceError.
    """
    job = submission.job
    own = JobRef(submission.job_id, job.agent_id, job.session_id, job.max_history)
    pause_s = SHORTEST_PAUSE_S
    while True:
        verdict = _attempt_at(own)
        if _is_over(verdict):
            return
        ahead = verdict.wake
        if ahead is not None and ahead.job_id != own.job_id:
            # Nobody else would do it, where its sender has gone.
            _attempt_at(JobRef(ahead.job_id, own.agent_id, own.session_id))
        worker_services().runtime.run(look_once(app))
        time.sleep(verdict.delay_s if isinstance(verdict, Later) else pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _attempt_at(ref: JobRef) -> Verdict:
    attempt, runtime = start_attempt(ref), worker_services().runtime
    verdict = runtime.wait(attempt.verdict)
    runtime.run(deliver_end(attempt))
    return verdict


def _is_over(verdict: Verdict) -> bool:
    is_over = isinstance(verdict, NotNow) and verdict.is_over
    return is_over or isinstance(verdict, Answered | Ended | Cancelled)
