"""What a sender is told of a job that was not taken in, and of one that was merged."""

import pytest

from memory import Backpressure, Enqueued, EnqueueOutcome
from tasks.errors import InvalidJob, JobConflict, SessionBusy
from tasks.job.envelope import Envelope, MergedJob
from tasks.job.job import ChatJob
from tasks.job.messages import cancelled_messages
from tasks.job.result import merged_result
from tasks.submit.producer import has_effects, producer
from tasks.submit.submission import Submission


def job(**options: object) -> ChatJob:
    """A checked job."""
    arguments = {"agent_id": "energy", "session_id": "s", "message": "hello", **options}
    return ChatJob.checked(arguments, max_message_bytes=100)


def submission(**options: object) -> Submission:
    """A job on its way, under the id j-1."""
    return producer().submission(Envelope(job=job(**options)), "j-1")


def test_a_refusal_names_the_first_job_and_survives_as_its_message() -> None:
    """A result backend keeps the class and the message, no more."""
    refused = Enqueued(EnqueueOutcome.FULL, pending=1, first="first")
    with pytest.raises(SessionBusy) as caught:
        submission(on_busy="reject").check(refused)
    assert caught.value.job_id == SessionBusy(*caught.value.args).job_id == "first"


def test_a_full_mailbox_is_backpressure_for_all_others() -> None:
    """Only who does not want to wait at all is told that the session is busy."""
    with pytest.raises(Backpressure):
        submission(on_busy="merge").check(Enqueued(EnqueueOutcome.FULL, pending=100))


def test_a_conflict_names_what_was_used_before() -> None:
    """It is an InvalidJob, so who handles those handles it."""
    conflict = Enqueued(EnqueueOutcome.CONFLICT)
    for options, name in (({}, "task_id"), ({"idempotency_key": "k"}, "idempotency_key")):
        with pytest.raises(JobConflict, match=rf"this {name} .*job j-1") as caught:
            submission(**options).check(conflict)
        assert isinstance(caught.value, InvalidJob)


def test_a_job_that_waits_concerns_nobody() -> None:
    """The usual way of sending makes no second trip."""
    assert not has_effects(Enqueued(EnqueueOutcome.NEW, seq_us=1, position=1))
    submission().check(Enqueued(EnqueueOutcome.DONE))


def test_the_result_of_a_merged_job_points_to_the_other() -> None:
    """With all that a result has, and nothing that looks like an answer."""
    result = merged_result("j-1", "energy", "s", "j-2")
    assert (result["job_id"], result["merged_into"], result["response"]) == ("j-1", "j-2", "")
    assert result["done_reason"] == "merged"


def test_a_question_names_the_jobs_that_were_merged_into_it() -> None:
    """With their metadata; a plain one has no such note."""
    jobs = [MergedJob(job_id="j-1", metadata={"n": 1}), MergedJob(job_id="j-2")]
    (question,) = cancelled_messages("j-3", job(), "", merged=jobs)
    assert question["merged"] == [{"job_id": "j-1", "metadata": {"n": 1}}, {"job_id": "j-2"}]
    (plain,) = cancelled_messages("j-3", job(), "")
    assert "merged" not in plain


def test_a_job_with_a_user_is_noted_for_that_user_before_it_is_taken_in() -> None:
    """So that nothing of a user lies where no index leads; without one nothing more is sent."""
    plain, named = submission(), submission(metadata={"user_id": "me"})
    assert len(plain.commands) == 3
    assert named.commands[0].keys == (
        "ecowas:users",
        "ecowas:users:me",
        "ecowas:session_users:{ecowas:history:energy:s}",
    )
    assert len(named.commands[1:]) == len(plain.commands)
