"""How full the deployment is, by the bounds on what there may be in all."""

from collections.abc import Iterator

from memory import Connection, Keyspace, Mailbox, MemoryServiceError, dead_letters
from memory.quotas import pending
from memory.upkeep.totals import largest_history, read_totals
from tasks.end.outcome import RESULT_BOUND
from tasks.process.configuration import Settings
from worker.checks.findings import Finding, Level, judged

CROWDED = 0.8
SESSIONS_LOOKED_AT = 20
"""Of those with dead letters, the latest: a letter may be as large as its job."""


def check_bounds(connection: Connection, settings: Settings) -> list[Finding]:
    """How near each bound is; a warning from four fifths on."""
    try:
        return list(_bounds(connection, settings))
    except MemoryServiceError as exc:
        return [Finding("bounds", Level.WARN, f"cannot be counted: {exc}")]


def _bounds(connection: Connection, settings: Settings) -> Iterator[Finding]:
    keyspace, queue = settings.memory.keyspace, settings.queue
    agent, of_agent = connection.run(pending.fullest_agent(keyspace))
    jobs = connection.run(pending.look(keyspace, agent or "default")).pending
    wait = "more workers or model servers answer faster; or raise "
    yield _bound("pending jobs", jobs, queue.max_pending_total, f"{wait}CHAT_MAX_PENDING_TOTAL")
    per_agent = f"pending jobs of {agent}" if agent else "pending jobs of an agent"
    most = queue.max_pending_per_agent
    yield _bound(per_agent, of_agent, most, f"{wait}CHAT_MAX_PENDING_PER_AGENT")
    key, size_bytes = largest_history(connection, keyspace)
    most = settings.memory.history_max_bytes
    oldest = f"its oldest turns are deleted{f' ({key})' if key else ''}; or raise HISTORY_MAX_BYTES"
    yield _bound("largest history, bytes", size_bytes, most, oldest)
    yield _refused_results(connection, keyspace)
    totals = read_totals(connection, keyspace)
    if totals is None:
        # `check_workers` says where nobody does maintenance.
        yield Finding("sessions", Level.OK, "not counted yet: the maintenance worker does that")
        return
    shorter = "lower MEMORY_STALE_AFTER, or raise CHAT_MAX_SESSIONS"
    yield _bound("sessions", totals.sessions, queue.max_sessions, shorter)
    letters, most = totals.dead_letters, queue.max_dead_letters
    drop = "send them again or drop them (`griot dead-letters`), or raise CHAT_MAX_DEAD_LETTERS"
    yield _bound("dead letters", letters, most, drop)


def _refused_results(connection: Connection, keyspace: Keyspace) -> Finding:
    """Whether jobs that were answered lately became dead letters, because of what they brought."""
    lately = connection.run(dead_letters.sessions(keyspace, limit=SESSIONS_LOOKED_AT))
    asked = [dead_letters.letters(Mailbox(keyspace, keys)) for keys in lately]
    letters = [letter for found in connection.run_each(asked) for letter in found.letters]
    refused = sum(RESULT_BOUND in letter.reason for letter in letters)
    found = f"{refused} of the newest {len(letters)} dead letters had an answer that was too large"
    advice = f"ask for shorter answers, send less metadata, or raise {RESULT_BOUND}"
    return judged(not refused, Finding("too large results", Level.WARN, found, advice))


def _bound(check: str, there_are: int, most: int, advice: str) -> Finding:
    trouble = Finding(check, Level.WARN, f"{there_are} of {most}", advice)
    return judged(there_are < CROWDED * most, trouble)
