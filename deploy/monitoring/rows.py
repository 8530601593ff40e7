"""The rows of the dashboard: each is a question that operators ask, and its panels the answer."""

from deploy.monitoring.panels import (
    AGENT,
    RATE,
    Query,
    Row,
    chart,
    in_all,
    per_second,
    quantile,
    read,
    stat,
)

_FAILED = f'sum(rate(griot_attempts_total{{outcome="failed"}}{RATE}))'
_ENDED = f'sum(rate(griot_attempts_total{{outcome=~"answered|failed|cancelled"}}{RATE}))'
_FULL = "max(griot_redis_memory_bytes) / max(griot_redis_memory_limit_bytes > 0)"
_CALL = "gen_ai_client_operation"
_CHUNK = "gen_ai_client_operation_time_per_output_chunk_seconds"
_TURN = f"rate(gen_ai_invoke_agent_duration_seconds_bucket{RATE})"
_OF_VERSION = "* on (instance) group_left (version) griot_build_info"

NOW = Row(
    "Is all well now?",
    (
        stat("Workers", "short", "max(griot_workers)", bad_below=1),
        stat("Turns running", "short", "max(griot_running_turns)"),
        stat("Jobs that wait or run", "short", "sum(max by (agent) (griot_pending_jobs))"),
        stat("The oldest of them", "s", "max(griot_pending_oldest_seconds)", bad_from=300),
        stat("Of the jobs fail", "percentunit", f"{_FAILED} / {_ENDED}", bad_from=0.05),
        stat("Redis is full to", "percentunit", _FULL, bad_from=0.8),
    ),
)

PROMISES = Row(
    "Do users get what they were promised?",
    (
        chart(
            *("Jobs that missed a promised time, in an hour", "percentunit"),
            Query("griot:slo_missed:ratio_rate1h", "{{agent}}, {{slo}}"),
            read("griot_slo_allowed_ratio", "agent", "slo", legend="{{agent}}, {{slo}}, allowed"),
            hint="`slo` of an agent's profile. griot status says since when.",
        ),
        chart(
            *("How fast what may be missed is used up", "short"),
            Query(
                "griot:slo_missed:ratio_rate6h / max by (agent, slo) (griot_slo_allowed_ratio)",
                "{{agent}}, {{slo}}",
            ),
            hint="1: in 30 days. Over six hours; from 6 on somebody is called.",
        ),
    ),
)

WHY_WAIT = Row(
    "Why does this user wait?",
    (
        chart(
            *("From sending to the first token", "s"),
            quantile(0.5, "griot_first_token_seconds", "agent", AGENT),
            quantile(0.95, "griot_first_token_seconds", "agent", AGENT),
            hint="What the user sees. The panels beside it say of what it is made.",
        ),
        chart(
            *("From sending to the first attempt", "s"),
            quantile(0.5, "griot_queue_wait_seconds", "agent", AGENT),
            quantile(0.95, "griot_queue_wait_seconds", "agent", AGENT),
            hint="Long: too few workers or slots, or earlier jobs of the same session.",
        ),
        chart(
            *("Wait for a slot of the model", "s"),
            quantile(0.95, "griot_slot_wait_seconds", "model"),
            hint="Long: the model servers are busy; more workers make nothing faster.",
        ),
        chart(
            *("Slots: taken, of how many, and who waits", "short"),
            Query("sum by (model) (max by (model, server) (griot_slots_taken))", "{{model}}"),
            Query("sum by (model) (max by (model, server) (griot_slots_limit))", "{{model}}, of"),
            read("griot_slot_waiters", "model", legend="{{model}}, wait"),
        ),
        chart(
            *("The oldest job", "s"),
            read("griot_pending_oldest_seconds", "agent", where=AGENT),
            hint="Grows steadily: this job is not served at all.",
        ),
        chart(
            *("From a wake-up to its attempt", "s"),
            quantile(0.95, "griot_handover_seconds"),
            hint="Long: the broker is slow, or no worker has a place free.",
        ),
        chart(
            *("Paused by operators", "short"),
            read("griot_pauses", "kind"),
            hint="Its jobs wait until it is resumed, or its pause ends: `griot pause` shows which.",
        ),
    ),
)

WHICH_SERVER = Row(
    "Which server is slow?",
    (
        chart(
            *("From the request to the first piece", "s"),
            quantile(0.5, f"{_CALL}_time_to_first_chunk_seconds", "server_address"),
            quantile(0.95, f"{_CALL}_time_to_first_chunk_seconds", "server_address"),
            hint="Long at one server: it loads models, or queues more calls than it computes.",
        ),
        chart(
            *("From one piece to the next", "s"),
            quantile(0.5, _CHUNK, "server_address"),
            hint="How fast it writes.",
        ),
        chart(
            *("A whole call", "s"),
            quantile(0.95, f"{_CALL}_duration_seconds", "server_address"),
        ),
        chart(
            *("Calls per second", "reqps"),
            per_second("griot_server_choices_total", "server", "model"),
            hint="Who gets the work.",
        ),
        chart(
            *("Calls that end with an error", "reqps"),
            per_second(
                *(f"{_CALL}_duration_seconds_count", "server_address", "error_type"),
                where='{error_type!=""}',
            ),
        ),
        chart(
            *("Left alone after failures", "short"),
            read("griot_breaker_open", "server"),
            hint="1: workers do not ask this server, but for a try now and then.",
        ),
    ),
)

WHAT_CHANGED = Row(
    "What did the last deploy change?",
    (
        chart(
            *("Processes by version", "short"),
            Query("count by (version, role) (griot_build_info)", "{{version}}, {{role}}"),
            hint="Each start of a process is a mark in all panels.",
        ),
        chart(
            *("A turn, by version", "s"),
            Query(
                f"histogram_quantile(0.95, sum by (le, version) ({_TURN} {_OF_VERSION}))",
                "{{version}}, 95 %",
            ),
        ),
        chart(
            *("Attempts by outcome and version", "ops"),
            Query(
                f"sum by (version, outcome) (rate(griot_attempts_total{RATE}) {_OF_VERSION})",
                "{{version}}, {{outcome}}",
            ),
        ),
        chart(
            *("Attempts made again, by what failed", "ops"),
            per_second("griot_retries_total", "error"),
        ),
        chart(
            *("Jobs given up, by what failed", "ops"),
            per_second("griot_dead_letters_made_total", "reason"),
        ),
        chart(
            *("Tools", "s"),
            quantile(0.95, "gen_ai_execute_tool_duration_seconds", "gen_ai_tool_name"),
        ),
    ),
)

MEMORY = Row(
    "Will memory last the week?",
    (
        chart(
            *("Memory of Redis", "bytes"),
            read("griot_redis_memory_bytes", legend="used"),
            Query("max(griot_redis_memory_limit_bytes > 0)", "limit"),
            Query("predict_linear(griot:redis_memory_bytes:max[1d], 7 * 86400)", "in a week"),
            hint="In a week: as the last day went. Above the limit: it will not last.",
        ),
        chart("Sessions", "short", read("griot_sessions", legend="sessions")),
        chart(
            *("Dead letters, keys dropped", "short"),
            read("griot_dead_letters", legend="dead letters"),
            read("griot_redis_evicted_keys", legend="keys dropped"),
            hint="Keys dropped must stay 0.",
        ),
    ),
)

WHO_FILLS = Row(
    "Who fills the queue?",
    (
        chart(
            *("Jobs that wait or run", "short"),
            read("griot_pending_jobs", "agent", where=AGENT),
            hint="Sessions and users are in no metric: griot status names those that wait longest.",
        ),
        chart(
            *("Jobs begun", "ops"),
            per_second("griot_queue_wait_seconds_count", "agent", where=AGENT),
        ),
        chart(
            *("Attempts by outcome", "ops"),
            per_second("griot_attempts_total", "agent", "outcome", where=AGENT),
        ),
        chart(
            *("Tokens per second", "short"),
            per_second(
                "gen_ai_client_token_usage_sum", "gen_ai_request_model", "gen_ai_token_type"
            ),
        ),
        chart("Refused by a quota", "ops", per_second("griot_quota_refusals_total", "quota")),
        chart(
            *("Messages that did not fit", "ops"),
            per_second("griot_context_messages_left_out_total", "agent"),
            hint="History that the model is not shown.",
        ),
    ),
)

PROCESSES = Row(
    "Do the processes keep up?",
    (
        chart(
            *("Event loop late by", "s"),
            Query('griot_loop_lateness_seconds{stat="max"}', "{{role}} {{instance}}"),
            hint="From a quarter of a second on the log names what held it.",
        ),
        chart("Processor time", "percentunit", per_second("process_cpu_seconds_total", "role")),
        chart(
            *("Memory", "bytes"),
            Query("sum by (role) (process_resident_memory_bytes)", "{{role}}"),
        ),
        chart(
            *("Open files, connections to Redis", "short"),
            Query("sum by (role) (process_open_fds)", "{{role}}, files"),
            Query("sum by (role) (griot_redis_connections_in_use)", "{{role}}, connections"),
        ),
        chart("Redis: a round trip", "s", quantile(0.95, "griot_redis_round_trip_seconds", "role")),
        chart(
            *("Leases lost, late ends refused", "ops"),
            in_all("griot_leases_lost_total", "leases lost"),
            in_all("griot_late_commits_refused_total", "late ends refused"),
            hint="Must be 0: a turn was made twice.",
        ),
        chart(
            *("Mended by the sweep", "ops"),
            per_second("griot_sweep_mended_total", "what"),
            in_all("griot_wakeups_lost_total", "wake-ups lost"),
        ),
        chart("Ends not delivered", "short", read("griot_outbox_entries", legend="sessions")),
        chart("Webhooks", "ops", per_second("griot_webhook_deliveries_total", "outcome")),
        chart("Followers", "short", Query("sum by (role) (griot_followers)", "{{role}}")),
        chart("Live events: lag", "s", quantile(0.95, "griot_relay_lag_seconds", "role")),
        chart("Gateway: answers", "reqps", per_second("griot_http_requests_total", "status")),
        chart(
            *("Gateway: until the answer begins", "s"),
            quantile(0.95, "griot_http_request_duration_seconds", "route"),
        ),
        chart("Gateway: streams", "short", Query("sum(griot_http_streams_open)", "open")),
    ),
)

ROWS = (NOW, PROMISES, WHY_WAIT, WHICH_SERVER, WHAT_CHANGED, MEMORY, WHO_FILLS, PROCESSES)
