"""Every metric of Griot, by name; docs/metrics.md is made from this list.

Names and buckets follow OpenTelemetry's conventions for generative AI (status: development, 2026)
where they have one; `griot_` is for ours. No label holds a session, a job, a user or a text, and
`telemetry.labels` bounds those that others choose.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, overload

from telemetry.series import Amounts, Count, Labelled, Reading, S

SECONDS = tuple(0.01 * 2**power for power in range(14))
"""Buckets of the conventions for what a model's call takes: 10 ms to 82 s."""
SHORT_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
"""For what takes from a millisecond to minutes."""
TOKENS = tuple(4**power for power in range(14))
"""Buckets of the conventions for tokens: 1 to 67 million."""

Kind = Literal["histogram", "counter", "gauge"]
Series: TypeAlias = Labelled[Amounts] | Labelled[Count] | Labelled[Reading]


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as its readers see it; a histogram with the bounds of its buckets."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...]
    series: Series | None = None
    """What this process counts; None: it is read from Redis, by whoever exports that."""
    buckets: tuple[float, ...] = ()


CATALOGUE: list[Described] = []
"""Every metric below, in this order."""


@overload
def _histogram(name: str, says: str, *, buckets: tuple[float, ...] = ...) -> Amounts: ...
@overload
def _histogram(
    name: str, says: str, first: str, /, *labels: str, buckets: tuple[float, ...] = ...
) -> Labelled[Amounts]: ...
def _histogram(
    name: str, says: str, *labels: str, buckets: tuple[float, ...] = SHORT_SECONDS
) -> Amounts | Labelled[Amounts]:
    series = Labelled(partial(Amounts, buckets))
    CATALOGUE.append(Described(name, "histogram", says, labels, series, buckets))
    return _of(series, labels)


@overload
def _counter(name: str, says: str) -> Count: ...
@overload
def _counter(name: str, says: str, first: str, /, *labels: str) -> Labelled[Count]: ...
def _counter(name: str, says: str, *labels: str) -> Count | Labelled[Count]:
    series = Labelled(Count)
    CATALOGUE.append(Described(f"{name}_total", "counter", says, labels, series))
    return _of(series, labels)


@overload
def _gauge(name: str, says: str) -> Reading: ...
@overload
def _gauge(name: str, says: str, first: str, /, *labels: str) -> Labelled[Reading]: ...
def _gauge(name: str, says: str, *labels: str) -> Reading | Labelled[Reading]:
    series = Labelled(Reading)
    CATALOGUE.append(Described(name, "gauge", says, labels, series))
    return _of(series, labels)


def _of(series: Labelled[S], labels: tuple[str, ...]) -> S | Labelled[S]:
    # Without labels there is one series, which is there from the beginning.
    return series if labels else series.labels()


def _read(name: str, says: str, *labels: str) -> Described:
    CATALOGUE.append(Described(name, "gauge", says, labels))
    return CATALOGUE[-1]


# ---- the model's calls, by the conventions

MODEL_CALL = _histogram(
    "gen_ai_client_operation_duration_seconds",
    "A call of a model, from the request to its end",
    *("gen_ai_operation_name", "gen_ai_request_model", "server_address", "error_type"),
    buckets=SECONDS,
)
FIRST_CHUNK = _histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "A call of a model, from the request to the first piece of the reply",
    *("gen_ai_request_model", "server_address"),
    buckets=SECONDS,
)
CHUNK = _histogram(
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    "From one piece of a reply to the next; what is read together is one",
    *("gen_ai_request_model", "server_address"),
    buckets=SECONDS,
)
TOKENS_USED = _histogram(
    "gen_ai_client_token_usage",
    "Tokens of a call of a model, as its server counts them",
    *("gen_ai_token_type", "gen_ai_request_model"),
    buckets=TOKENS,
)
TURN = _histogram(
    "gen_ai_invoke_agent_duration_seconds",
    "A turn, from the attempt's start to its end",
    *("gen_ai_agent_name", "error_type"),
    buckets=SECONDS,
)
TOOL = _histogram(
    "gen_ai_execute_tool_duration_seconds",
    "A call of a tool",
    *("gen_ai_tool_name", "error_type"),
    buckets=SECONDS,
)

# ---- jobs and attempts

QUEUE_WAIT = _histogram(
    "griot_queue_wait_seconds", "A job, from when it is sent to its first attempt", "agent"
)
FIRST_TOKEN = _histogram(
    "griot_first_token_seconds", "A job, from when it is sent to the first token", "agent"
)
HANDOVER = _histogram("griot_handover_seconds", "From a wake-up to the attempt that it starts")
ATTEMPTS = _counter("griot_attempts", "Attempts by what they came to", "agent", "outcome")
RETRIES = _counter("griot_retries", "Attempts that are made again, by what failed", "error")
LATE_COMMITS = _counter(
    "griot_late_commits_refused", "Turns that were refused because another attempt owns the session"
)
DEAD_LETTERS_MADE = _counter(
    "griot_dead_letters_made", "Jobs that became dead letters, by what failed", "reason"
)
LEASES_LOST = _counter("griot_leases_lost", "Leases that ended before their attempt did")
TURNS_RUNNING = _gauge("griot_turns_running", "Attempts that run in this process")
CONCURRENCY = _gauge("griot_concurrency", "Turns that this process runs at once, at most")

SLO_MEASURED = _counter(
    "griot_slo_measured", "Jobs by an objective of their agent's profile", "agent", "slo"
)
SLO_MISSED = _counter("griot_slo_missed", "Those of them that took longer", "agent", "slo")
SLO_ALLOWED = _gauge(
    "griot_slo_allowed_ratio", "The part of them that may take longer", "agent", "slo"
)

# ---- what keeps it going

SWEEPS = _counter("griot_sweeps", "Rounds of the sweep")
SWEEP_MENDED = _counter(
    "griot_sweep_mended", "What the sweep has looked at, by what came of it", "what"
)
WAKEUPS_LOST = _counter("griot_wakeups_lost", "Wake-ups that the sweep had to send again")

# ---- slots and servers

SLOT_WAIT = _histogram(
    "griot_slot_wait_seconds", "From when a job could run to the slot of its model", "model"
)
SERVER_CHOICES = _counter(
    "griot_server_choices", "Calls by the server that got them", "server", "model"
)
BREAKER_OPEN = _gauge(
    "griot_breaker_open", "1 while a server is left alone after failures", "server"
)
PAUSES = _gauge("griot_pauses", "What operators have paused, as this process knows it", "kind")

# ---- context

LEFT_OUT = _counter(
    "griot_context_messages_left_out",
    "Messages of history that did not fit the window",
    "agent",
)
SILENT_CUTS = _counter(
    "griot_silent_cuts", "Prompts that a server has shortened without a word", "agent"
)
SUMMARIES = _counter("griot_summaries", "Summaries by what they came to", "outcome")

# ---- streams

FOLLOWERS = _gauge("griot_followers", "Followers of live events in this process")
RELAY_LAG = _histogram("griot_relay_lag_seconds", "A live event, from its making to Redis")

# ---- the process

BUILD = _gauge("griot_build_info", "1, with the version that this process runs", "version")
LATENESS = _gauge(
    "griot_loop_lateness_seconds", "How late the event loop was in the last 10 s", "stat"
)
ROUND_TRIP = _histogram("griot_redis_round_trip_seconds", "A round trip to the memory's Redis")
CONNECTIONS = _gauge("griot_redis_connections_in_use", "Connections to Redis that are lent out")
QUOTA_REFUSALS = _counter("griot_quota_refusals", "Jobs that a quota has refused", "quota")
ARCHIVED = _counter("griot_archived_messages", "Messages that have gone to the archive")
ARCHIVE_LAG = _gauge("griot_archive_lag_seconds", "How late the archiver was, in its last run")

# ---- the gateway, and webhooks

REQUESTS = _counter("griot_http_requests", "Requests by route and status", "route", "status")
REQUEST_TIME = _histogram(
    "griot_http_request_duration_seconds", "A request, until its answer begins", "route"
)
STREAMS_OPEN = _gauge("griot_http_streams_open", "Streams of events that are open")
DELIVERIES = _counter("griot_webhook_deliveries", "Tries to deliver a webhook", "outcome")

# ---- read from Redis at each scrape

REDIS_UP = _read("griot_redis_up", "1 where the memory's Redis answers, else 0")
REDIS_MEMORY = _read("griot_redis_memory_bytes", "What Redis uses, all servers of it together")
REDIS_LIMIT = _read("griot_redis_memory_limit_bytes", "What it may use; 0: there is no limit")
REDIS_EVICTED = _read("griot_redis_evicted_keys", "Keys that it has dropped since its start")
PENDING = _read("griot_pending_jobs", "Jobs that wait or run", "agent")
PENDING_OLDEST = _read(
    "griot_pending_oldest_seconds",
    "The oldest job that waits or runs, of the thousand oldest; from when it was due",
    "agent",
)
OUTBOX = _read(
    "griot_outbox_entries", "Sessions with ends that could not be delivered the first time"
)
OUTBOX_OLDEST = _read(
    "griot_outbox_oldest_seconds", "Since the one of them was tried that waits longest"
)
SLOTS_LIMIT = _read("griot_slots_limit", "Calls of a model that may run at once", "model", "server")
SLOTS_TAKEN = _read("griot_slots_taken", "Slots of it that are taken", "model", "server")
SLOT_WAITERS = _read("griot_slot_waiters", "Jobs that wait for a slot", "model")
DEAD_LETTERS = _read("griot_dead_letters", "Dead letters, in the 500 sessions that had one last")
SESSIONS = _read("griot_sessions", "Sessions, as the last snapshot of statistics has them")
SNAPSHOT_AGE = _read("griot_snapshot_age_seconds", "Since the last snapshot of statistics")
WORKERS = _read("griot_workers", "Worker processes that have shown themselves in the last 15 s")
RUNNING_TURNS = _read("griot_running_turns", "Turns that they are making")
