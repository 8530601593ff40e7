"""Metrics that move where something rare happens, which real processes are not made to do here."""

import gc
from collections.abc import Sequence
from typing import cast

import pytest

from memory import AsyncConnection, Command, CommitOutcome, Committed, Keyspace, MemorySettings
from tasks.attempt.late_commit import after_refused_commit
from tasks.attempt.verdict import NotNow
from tasks.job.result import Receipt
from tasks.process.live_events import AttemptEvents
from tasks.process.turns_now import TurnNow
from tasks.submit.followers import SessionFollower
from tasks.turn.reply_recorder import ReplyRecorder
from tests.support.metrics.shown import moves, own_text, total


def test_a_late_commit_is_counted() -> None:
    """One of a job that is over is none."""
    refused = Committed(next(one for one in CommitOutcome if one.name not in ("OK", "GONE")))
    with moves("griot_late_commits_refused_total"):
        assert isinstance(after_refused_commit("job", refused), NotNow)
    before = total(own_text(), "griot_late_commits_refused_total")
    assert after_refused_commit("job", Committed(CommitOutcome.GONE)).is_over
    assert total(own_text(), "griot_late_commits_refused_total") == before


def test_what_did_not_fit_and_what_was_cut_is_counted_by_agent() -> None:
    """As the receipt of the reply has it."""
    receipt: Receipt = {"messages_left_out": 3, "truncated": True}  # type: ignore[typeddict-item]  # the rest is not looked at
    with (
        moves("griot_context_messages_left_out_total"),
        moves("griot_silent_cuts_total"),
    ):
        recorder = ReplyRecorder(cast(AttemptEvents, None), TurnNow("energy", "session", "job"))
        recorder.on_receipt("energy", receipt)


def test_a_follower_counts_as_long_as_somebody_has_it() -> None:
    """Whoever drops it need not say so."""
    gc.collect()
    before = total(own_text(), "griot_followers")
    follower = SessionFollower(Keyspace().session("energy", "s"), "0")
    assert total(own_text(), "griot_followers") == before + 1
    del follower
    gc.collect()
    assert total(own_text(), "griot_followers") == before


class Client:
    """Answers everything, and notes what the metrics say meanwhile."""

    def __init__(self) -> None:
        self.in_use = 0.0

    async def exchange(self, groups: Sequence[Sequence[Command[object]]]) -> list[list[object]]:
        """One answer for each call."""
        self.in_use = total(own_text(), "griot_redis_connections_in_use")
        return [[1 for _ in group] for group in groups]

    async def aclose(self) -> None:
        """Nothing is open."""


async def test_a_connection_is_in_use_while_an_answer_is_awaited() -> None:
    """And a round trip has a time."""
    client = Client()
    memory = AsyncConnection(MemorySettings(_env_file=None), client=client)  # type: ignore[arg-type]  # a stub
    before = total(own_text(), "griot_redis_connections_in_use")
    with moves("griot_redis_round_trip_seconds"):
        assert await memory.run(Command(lambda reply: reply, ("PING",))) == 1
    assert client.in_use == before + 1
    assert total(own_text(), "griot_redis_connections_in_use") == pytest.approx(before)
    await memory.aclose()
