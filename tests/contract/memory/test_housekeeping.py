"""Maintenance: what is used is extended, what is stale goes, statistics are kept."""

from datetime import UTC, datetime, timedelta

import pytest

from memory import InvalidInput, RedisMemoryService, dead_letters
from memory.lifetimes import ARCHIVE_HOLD_S, DEAD_MS, UNTIL_ERASED_S
from memory.mailbox.intake import EnqueueOutcome
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import Ending
from memory.records import index
from memory.upkeep.housekeeping import Housekeeping
from tests.support.memory_fixtures import Backend

MESSAGE = {"role": "user", "content": "x"}
LONG_AGO_MS = 1_000_000
HOUR_S = 3600
DAY_S = 24 * HOUR_S


@pytest.fixture
def service(real_backend: Backend) -> RedisMemoryService:
    """The documented service."""
    return real_backend.service()


@pytest.fixture
def housekeeping(service: RedisMemoryService) -> Housekeeping:
    """What the scheduler runs."""
    return Housekeeping(service.connection, service.keyspace)


def _make_old(backend: Backend, agent: str, *sessions: str) -> None:
    key = backend.service().keyspace.sessions(agent)
    backend.observer.zadd(key, dict.fromkeys(sessions, LONG_AGO_MS))


def _make_unread(backend: Backend, agent: str, session: str, *, left_s: int = 60) -> None:
    """As if nobody had touched the history for an hour, with so much of its TTL left."""
    key = backend.service().keyspace.session(agent, session).history
    dump = backend.observer.dump(key)
    assert dump is not None
    backend.observer.restore(key, left_s * 1000, dump, replace=True, idletime=HOUR_S)


def _ttl(backend: Backend, key: str) -> int:
    ttl: int = backend.observer.ttl(f"{backend.prefix}:{key}")
    return ttl


def test_used_sessions_live_longer_and_others_do_not(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """History, data and the state of the agent, of what was used within the window."""
    for session in ("used", "unused"):
        service.append_to_history("a", session, MESSAGE, ttl=100)
        service.set_session_data(session, "k", 1)
        real_backend.observer.expire(f"{real_backend.prefix}:session:{session}:k", 100)
    service.save_agent_state("a", {})
    real_backend.observer.expire(f"{real_backend.prefix}:state:a", 100)
    _make_old(real_backend, "a", "unused")

    done = housekeeping.extend_active(window_s=60, ttl_s=1000)

    assert (done.sessions, done.keys, done.is_complete) == (1, 3, True)
    for key in ("history:a:used", "session:used:k", "fields:used", "state:a"):
        assert _ttl(real_backend, key) > 990
    for key in ("history:a:unused", "session:unused:k"):
        assert _ttl(real_backend, key) <= 100


def test_what_was_given_a_ttl_of_its_own_keeps_it(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """A code that is good for a minute is gone after a minute, however busy the session is; until
    it is written without a TTL."""
    service.append_to_history("a", "s", MESSAGE)
    service.set_session_data("s", "code", "4711", ttl=60)
    service.set_session_data("s", "city", "Lagos")
    service.save_agent_state("a", {"mood": "calm"}, ttl=60)

    for _ in range(2):
        assert housekeeping.extend_active(window_s=60, ttl_s=200_000).keys == 4

    assert _ttl(real_backend, "session:s:code") <= 60
    assert _ttl(real_backend, "state:a") <= 60
    assert _ttl(real_backend, "session:s:city") > 190_000
    fields = {
        name.decode(): score
        for name, score in real_backend.observer.zrange(
            f"{real_backend.prefix}:fields:s", 0, -1, withscores=True
        )
    }
    assert fields["code"] < fields["city"] - 100_000_000
    assert service.get_session_data("s", "code") == "4711"
    assert service.get_agent_state("a") == {"mood": "calm"}
    assert service.extend_ttl("a", "s", ttl=300_000)
    assert _ttl(real_backend, "session:s:code") > 290_000, "the caller has said so"
    service.set_session_data("s", "code", "4712")
    housekeeping.extend_active(window_s=60, ttl_s=400_000)
    assert _ttl(real_backend, "session:s:code") > 390_000


def test_extending_does_not_count_as_use(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """Else nothing would ever become stale."""
    service.append_to_history("a", "s", MESSAGE)
    key = service.keyspace.sessions("a")
    before = real_backend.observer.zscore(key, "s")

    housekeeping.extend_active(window_s=60, ttl_s=1000)

    assert real_backend.observer.zscore(key, "s") == before


def test_an_extension_stops_at_its_bound(
    service: RedisMemoryService, housekeeping: Housekeeping
) -> None:
    """And says that it did not see all."""
    for number in range(5):
        service.append_to_history("a", f"s{number}", MESSAGE)

    done = housekeeping.extend_active(window_s=60, ttl_s=1000, max_sessions=3)

    assert (done.sessions, done.is_complete) == (3, False)
    with pytest.raises(InvalidInput):
        housekeeping.extend_active(window_s=60, ttl_s=0)


def test_over_several_runs_every_session_is_extended(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """A run goes on where the last one stopped, also among sessions used at the same moment."""
    agents = ("a", "b", "c")
    for agent in agents:
        for number in range(3):
            service.append_to_history(agent, f"s{number}", MESSAGE, ttl=100)
        now_ms = service.connection.run(index.server_time_ms())
        sessions = {f"s{number}": now_ms for number in range(3)}
        real_backend.observer.zadd(service.keyspace.sessions(agent), sessions)

    runs = [housekeeping.extend_active(window_s=60, ttl_s=1000, max_sessions=2) for _ in range(5)]

    for agent in agents:
        for number in range(3):
            assert _ttl(real_backend, f"history:{agent}:s{number}") > 990
    assert [run.is_complete for run in runs[:4]] == [False] * 4


def test_a_session_that_is_always_in_use_keeps_no_other_from_its_turn(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """Busy sessions of the first agent would else be met in each run."""
    for agent, session in (("a", "busy0"), ("a", "busy1"), ("b", "quiet")):
        service.append_to_history(agent, session, MESSAGE, ttl=100)

    for _ in range(4):
        housekeeping.extend_active(window_s=60, ttl_s=1000, max_sessions=1)
        for session in ("busy0", "busy1"):
            service.append_to_history("a", session, MESSAGE)

    assert _ttl(real_backend, "history:b:quiet") > 990


def test_a_run_begins_anew_where_its_place_is_damaged(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """And writes over it."""
    for number in range(3):
        service.append_to_history("a", f"s{number}", MESSAGE)
    place = service.keyspace.upkeep("extend")
    real_backend.observer.rpush(place, "no place")

    done = housekeeping.extend_active(window_s=60, ttl_s=1000, max_sessions=2)
    assert (done.sessions, real_backend.observer.type(place)) == (2, b"string")
    assert 0 < real_backend.observer.ttl(place) <= 86_400
    real_backend.observer.set(place, "nonsense", ex=60)
    assert housekeeping.extend_active(window_s=60, ttl_s=1000).sessions == 3
    assert not real_backend.observer.exists(place)


def test_damage_in_one_session_keeps_no_other_from_maintenance(
    service: RedisMemoryService,
    housekeeping: Housekeeping,
    real_backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor does an agent whose index is damaged; the log names both."""
    keyspace, look = service.keyspace, real_backend.observer
    for agent, session in (("a", "bad"), ("a", "good"), ("b", "lost"), ("c", "good")):
        service.append_to_history(agent, session, MESSAGE, ttl=100)
    mailbox = Mailbox.of(keyspace, "c", "good")
    service.connection.run_all(*mailbox.enqueue("j", b"{}", cap=9, grace_ms=5000))
    look.zrem(keyspace.due, mailbox.keys.history)
    for key in (keyspace.session("a", "bad").queue, keyspace.session("a", "bad").summary):
        look.set(key, "damaged", ex=60)
    look.set(keyspace.session_fields("bad"), "damaged", ex=60)
    look.set(keyspace.sessions("b"), "damaged", ex=60)

    assert housekeeping.extend_active(window_s=60, ttl_s=1000).is_complete
    assert housekeeping.add_strays() == 2, "the damaged one too: the sweep names it"
    assert _ttl(real_backend, "history:a:good") > 990
    assert _ttl(real_backend, "history:c:good") == -1, "a job waits there"
    for named in ("session bad of agent a", "sessions of agent b"):
        assert any(named in line for line in caplog.messages)


def test_stale_sessions_go_with_their_data(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """History, session data and index entries; what is used stays."""
    for session in ("stale", "used"):
        service.append_to_history("a", session, MESSAGE)
        service.set_session_data(session, "k", 1)
    _make_old(real_backend, "a", "stale")
    _make_unread(real_backend, "a", "stale")

    done = housekeeping.clean_stale(idle_s=600)

    assert (done.deleted, done.keys, done.is_complete) == (1, 3, True)
    assert service.get_all_sessions_for_agent("a") == ["used"]
    assert service.get_session_data("used", "k") == 1
    assert service.get_conversation_history("a", "stale") == []
    assert service.get_session_data("stale", "k") is None
    assert _ttl(real_backend, "fields:stale") == -2


def test_an_agent_whose_sessions_are_kept_longer_has_no_stale_ones_before_that(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """Nor does data go that a session of another agent with the same id still has."""
    for agent in ("short", "long"):
        service.append_to_history(agent, "s", MESSAGE)
        _make_old(real_backend, agent, "s")
        _make_unread(real_backend, agent, "s")
    service.set_session_data("s", "k", 1)

    done = housekeeping.clean_stale(
        idle_s=600, min_idle_s_of={"short": 1, "long": 10**12}.__getitem__
    )

    assert (done.deleted, done.keys) == (1, 1)
    assert service.get_conversation_history("long", "s") == [MESSAGE]
    assert service.get_session_data("s", "k") == 1


@pytest.mark.parametrize("held_s", [0, ARCHIVE_HOLD_S])
def test_a_session_that_was_given_a_longer_ttl_lives_until_that_ends(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend, held_s: int
) -> None:
    """However long it is unused; also where its TTL is from a time with an archive."""
    for session, ttl_s in (("given", 30 * DAY_S), ("usual", DAY_S)):
        service.append_to_history("a", session, MESSAGE)
        _make_unread(real_backend, "a", session, left_s=held_s + ttl_s - HOUR_S)
    _make_old(real_backend, "a", "given", "usual")

    done = housekeeping.clean_stale(idle_s=600, ttl_of=lambda agent: DAY_S)

    assert (done.fresh, done.deleted) == (1, 1)
    assert service.get_all_sessions_for_agent("a") == ["given"]
    assert service.get_conversation_history("a", "given") == [MESSAGE]


def test_data_with_a_ttl_of_its_own_outlives_its_session(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """And is found by who erases the agent; the session's other data goes."""
    service.append_to_history("a", "s", MESSAGE)
    service.set_session_data("s", "city", "Accra")
    service.set_session_data("s", "code", "4711", ttl=30 * DAY_S)
    _make_old(real_backend, "a", "s")
    _make_unread(real_backend, "a", "s")

    done = housekeeping.clean_stale(idle_s=600)

    assert (done.deleted, done.keys) == (1, 2)
    assert service.get_session_data("s", "city") is None
    assert service.get_session_data("s", "code") == "4711"
    assert service.clear_all_agent_data("a") > 0
    assert service.get_session_data("s", "code") is None


def test_a_summary_lives_as_long_as_a_history_that_is_given_a_longer_ttl(
    service: RedisMemoryService, real_backend: Backend
) -> None:
    """Of what it sums up there may be nothing else."""
    keys = service.keyspace.session("a", "s")
    real_backend.observer.hset(keys.summary, "text", "short")
    real_backend.observer.expire(keys.summary, 100)
    service.append_to_history("a", "s", MESSAGE, ttl=1000)
    assert real_backend.observer.ttl(keys.summary) > 990
    service.append_to_history("a", "s", MESSAGE, ttl=10)
    assert real_backend.observer.ttl(keys.summary) > 980


def test_each_agent_has_its_own_ttl(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """One of a century too: data of its sessions is found again by their index as long."""
    for agent in ("short", "long"):
        service.append_to_history(agent, agent, MESSAGE, ttl=100)
        service.set_session_data(agent, "k", 1)
    ttl_of = {"short": 1000, "long": UNTIL_ERASED_S}.__getitem__

    assert housekeeping.extend_active(window_s=60, ttl_s=ttl_of).sessions == 2

    assert 990 < _ttl(real_backend, "history:short:short") <= 1000
    for key in ("history:long:long", "session:long:k", "fields:long"):
        assert _ttl(real_backend, key) > UNTIL_ERASED_S - 10


def test_a_history_that_was_read_lately_is_not_stale(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """The index knows of writes only; the server knows the last access. It counts as used now."""
    service.append_to_history("a", "s", MESSAGE)
    _make_old(real_backend, "a", "s")

    done = housekeeping.clean_stale(idle_s=600)

    assert (done.fresh, done.deleted, done.keys) == (1, 0, 0)
    assert service.get_conversation_history("a", "s") == [MESSAGE]
    assert housekeeping.clean_stale(idle_s=600).fresh == 0


def test_a_session_with_work_is_not_stale(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """However long ago it was used."""
    service.append_to_history("a", "s", MESSAGE)
    queue = service.keyspace.session("a", "s").queue
    real_backend.observer.zadd(queue, {"job": 1})
    _make_old(real_backend, "a", "s")

    done = housekeeping.clean_stale(idle_s=0.001, max_sessions=1)

    assert (done.pending, done.deleted) == (1, 0)
    assert service.get_conversation_history("a", "s") == [MESSAGE]
    real_backend.observer.unlink(queue)


def test_data_that_another_agent_still_uses_stays(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """Session data belongs to the session, not to an agent."""
    service.set_session_data("s", "k", 1)
    service.append_to_history("b", "s", MESSAGE)
    real_backend.observer.zadd(service.keyspace.sessions("a"), {"s": LONG_AGO_MS})
    real_backend.observer.zadd(service.keyspace.agents, {"a": LONG_AGO_MS})

    done = housekeeping.clean_stale(idle_s=600)

    assert done.deleted == 1
    assert service.get_session_data("s", "k") == 1


def test_an_agent_without_sessions_is_forgotten(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """The index of agents does not grow for ever."""
    real_backend.observer.zadd(service.keyspace.sessions("a"), {"s": LONG_AGO_MS})
    real_backend.observer.zadd(service.keyspace.agents, {"a": LONG_AGO_MS})

    housekeeping.clean_stale(idle_s=600)

    assert real_backend.keys() == []


def test_a_damaged_session_does_not_stop_the_cleanup(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """It is counted and left alone; the others go."""
    look, keyspace = real_backend.observer, service.keyspace
    look.set(keyspace.session("a", "bad").history, "not a list", ex=60)
    look.zadd(keyspace.agents, {"a": LONG_AGO_MS})
    _make_old(real_backend, "a", "bad", "gone")

    done = housekeeping.clean_stale(idle_s=600)

    assert (done.corrupt, done.deleted) == (1, 1)
    assert look.exists(keyspace.session("a", "bad").history)


def test_damaged_indexes_do_not_stop_the_cleanup(
    service: RedisMemoryService,
    housekeeping: Housekeeping,
    real_backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An agent's, or that of a session's data: the others go, and the log names the damage."""
    keyspace, look = service.keyspace, real_backend.observer
    look.zadd(keyspace.agents, {"a": LONG_AGO_MS, "b": LONG_AGO_MS + 1})
    look.set(keyspace.sessions("a"), "damaged", ex=60)
    _make_old(real_backend, "b", "bad", "gone")
    look.set(keyspace.session_fields("bad"), "damaged", ex=60)

    done = housekeeping.clean_stale(idle_s=600)

    assert (done.deleted, done.is_complete) == (2, True)
    assert not look.exists(keyspace.sessions("b"))
    for named in ("sessions of agent a are not cleaned up", "data of session bad"):
        assert any(named in line for line in caplog.messages)


def test_a_cleanup_stops_at_its_bound_and_the_next_goes_on(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """Bounded work per run."""
    real_backend.observer.zadd(service.keyspace.agents, {"a": LONG_AGO_MS})
    _make_old(real_backend, "a", *(f"s{number}" for number in range(250)))

    runs = [housekeeping.clean_stale(idle_s=600, max_sessions=100) for _ in range(3)]

    assert [run.deleted for run in runs] == [100, 100, 50]
    assert [run.is_complete for run in runs] == [False, False, True]


def test_statistics_are_a_series_over_time(
    service: RedisMemoryService, housekeeping: Housekeeping
) -> None:
    """Recorded numbers come back, oldest first, within the asked time."""
    service.append_to_history("a", "s", MESSAGE)
    stats = [housekeeping.record_stats() for _ in range(3)]

    points = housekeeping.read_stats()
    assert [p.used_memory_bytes for p in points] == [s["used_memory_bytes"] for s in stats]
    assert [p.sessions for p in points] == [1, 1, 1]
    now = datetime.now(UTC)
    assert all(abs(now - point.at) < timedelta(seconds=30) for point in points)

    assert housekeeping.read_stats(since=now + timedelta(minutes=1)) == []
    assert housekeeping.read_stats(until=now - timedelta(minutes=1)) == []
    assert housekeeping.read_stats(limit=1) == points[-1:]


def test_the_series_is_capped(housekeeping: Housekeeping, real_backend: Backend) -> None:
    """Old points make room."""
    for _ in range(120):
        housekeeping.record_stats(keep=1)

    # Redis trims whole nodes of 100 entries.
    assert real_backend.observer.xlen(f"{real_backend.prefix}:stats") <= 101


def test_a_moment_without_time_zone_is_refused(housekeeping: Housekeeping) -> None:
    """It could mean an hour that nobody meant."""
    with pytest.raises(InvalidInput):
        housekeeping.read_stats(since=datetime(2026, 1, 1))
    with pytest.raises(InvalidInput):
        housekeeping.read_stats(limit=0)


def test_a_mailbox_that_the_sweeper_has_lost_is_found(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """Sessions with jobs come back to the list; the others, and those on it, are left alone."""
    keyspace = service.keyspace
    for session in ("lost", "listed", "idle"):
        service.append_to_history("a", session, MESSAGE)
    for session in ("lost", "listed"):
        mailbox = Mailbox.of(keyspace, "a", session)
        commands = mailbox.enqueue(f"j-{session}", b"{}", cap=9, grace_ms=5000)
        assert service.connection.run_last(*commands).outcome is EnqueueOutcome.NEW
    lost = keyspace.session("a", "lost").history
    real_backend.observer.zrem(keyspace.due, lost)

    assert housekeeping.add_strays() == 1
    assert real_backend.observer.zscore(keyspace.due, lost) == 0
    assert housekeeping.add_strays() == 0


def test_over_several_runs_every_mailbox_is_looked_at(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """A run without time looks at one page of one agent; the next goes on behind it."""
    keyspace = service.keyspace
    for agent in ("a", "b", "c"):
        mailbox = Mailbox.of(keyspace, agent, "s")
        service.connection.run_all(*mailbox.enqueue(f"j-{agent}", b"{}", cap=9, grace_ms=5000))
        service.append_to_history(agent, "s", MESSAGE)
    real_backend.observer.unlink(keyspace.due)

    assert [housekeeping.add_strays(budget_s=0) for _ in range(4)] == [1, 1, 1, 0]


def test_a_session_with_ends_that_the_sweeper_has_lost_is_found(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """The results of its jobs are still to be delivered; a damaged session hides none."""
    keyspace, look = service.keyspace, real_backend.observer
    for session in ("damaged", "undelivered"):
        service.append_to_history("a", session, MESSAGE)
    mailbox = Mailbox.of(keyspace, "a", "undelivered")
    discard = mailbox.discard(
        "j", "reason", owner="o", ending=Ending.CANCELLED, ttl_s=60, grace_ms=5000
    )
    service.connection.run_last(*discard)
    look.set(keyspace.session("a", "damaged").queue, "not ours", ex=60)
    look.delete(keyspace.due)

    assert housekeeping.add_strays() == 2
    assert look.zscore(keyspace.due, mailbox.keys.history) == 0


def test_a_damaged_session_is_not_extended_and_the_others_are(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """It is logged."""
    keyspace, look = service.keyspace, real_backend.observer
    for session in ("s1", "damaged", "s2"):
        service.append_to_history("a", session, MESSAGE)
    damaged = keyspace.session("a", "damaged")
    look.set(damaged.queue, "not ours", ex=60)
    look.set(damaged.events, "not ours", ex=60)

    assert housekeeping.extend_active(window_s=60, ttl_s=100_000).sessions == 3
    for session in ("s1", "s2"):
        assert look.ttl(keyspace.session("a", session).history) > 90_000


def test_the_list_of_dead_letters_follows_them(
    service: RedisMemoryService, housekeeping: Housekeeping, real_backend: Backend
) -> None:
    """A session whose letters have expired leaves it, one whose letters are kept does not."""
    connection, keyspace = service.connection, service.keyspace
    now_ms = connection.run(index.server_time_ms())
    ages_ms = {"expired": DEAD_MS + 1000, "kept": DEAD_MS - 60_000}
    for session, age_ms in ages_ms.items():
        mailbox = Mailbox.of(keyspace, "a", session)
        connection.run(dead_letters.note(mailbox))
        real_backend.observer.zadd(keyspace.dead, {mailbox.keys.history: now_ms - age_ms})
    assert housekeeping.forget_old_letters() == 1
    assert housekeeping.forget_old_letters() == 0, "a repeat"
    listed = connection.run(dead_letters.sessions(keyspace, limit=9))
    assert [keys.session_id for keys in listed] == ["kept"]
