"""Celery's settings, each with its reason. What an operator changes comes from the environment.

What may be set there, and its bounds: tasks/settings.py and the table in docs/operations.md. The
times and limits below are about the broker's connection; session-related times are `CHAT_*`
settings.
"""

from kombu import Queue

from tasks.beat.schedule import beat_entries
from tasks.process.configuration import load_settings

_settings = load_settings()
_queue = _settings.queue
_names = _settings.names
_timeout_s = max(2.0, _settings.memory.timeout_s)  # kombu's blocking read lasts a second

# --- where ---------------------------------------------------------------------------------------
broker_url = _settings.broker.url  # holds a password: Celery masks it in what it prints
broker_use_ssl = _settings.broker.tls  # what its address says of TLS
result_backend = _settings.results.url  # as the broker
redis_backend_use_ssl = _settings.results.tls
result_expires = _queue.result_ttl_s  # seconds; a day unless CELERY_RESULT_TTL says otherwise

# --- what is accepted: JSON, nothing that could run code ------------------------------------------
accept_content = ["json"]  # messages
result_accept_content = ["json"]  # results
task_serializer = "json"
result_serializer = "json"
griot_result_encrypted = _queue.is_result_encrypted  # ours: CELERY_RESULT_ENCRYPTED
result_extended = False  # a result never holds the task's arguments, which may hold text
timezone = "UTC"
enable_utc = True

# --- queues ---------------------------------------------------------------------------------------
# All of these differ by REDIS_KEY_PREFIX, for two deployments on one broker.
task_default_queue = _names.default  # where a service that imports nothing of ours sends its jobs
task_queues = [Queue(_names.chat), Queue(_names.default)]  # what `celery -A worker worker` consumes
task_create_missing_queues = True  # the maintenance worker names its queue with -Q maintenance
task_routes = {
    "tasks.chat_task": {"queue": _names.chat},
    "tasks.embed_texts": {"queue": _names.chat},
    "tasks.sweep": {"queue": _names.maintenance},
    "tasks.maintenance.*": {"queue": _names.maintenance},
}
control_exchange = f"{_names.prefix}celery"  # remote control: `celery inspect`, `griot status`
event_exchange = event_queue_prefix = f"{_names.prefix}celeryev"  # Flower

# --- the worker -----------------------------------------------------------------------------------
worker_pool = "worker.pool:LoopPool"  # a chat job waits for its model without a thread
# What a worker runs, and no producer loads.
imports = ("tasks.attempt.body", "tasks.beat.maintenance", "tasks.beat.sweep", "tasks.embeddings")
worker_concurrency = _queue.concurrency  # turns at once in one process (WORKER_CONCURRENCY)
worker_prefetch_multiplier = 1  # a message that waits in a worker cannot be taken by an idle one
task_acks_late = True  # a message is acknowledged when its task is over
task_reject_on_worker_lost = False  # the mailbox brings a lost job back; a killer job must not loop
worker_hijack_root_logger = False  # worker/logs.py sets logging up
worker_redirect_stdouts = False  # prints are prints
worker_consumer = "worker.consumer:GriotConsumer"  # sends events in batches
worker_send_task_events = True  # Flower needs no `celery control enable_events`
task_track_started = False  # one write less per job; events show the same
worker_cancel_long_running_tasks_on_connection_loss = False  # the lease decides, not the broker
# After a reconnection Celery 5.7.0 raises the prefetch count step by step from the threads that end
# tasks, on the consumer's channel: with RabbitMQ the consumer then waited for ever for an answer
# that another thread had read.
worker_enable_prefetch_count_reduction = False

# --- the broker's connection: nothing waits for ever ----------------------------------------------
broker_connection_retry_on_startup = True  # the broker may start after the worker
broker_connection_max_retries = None  # a running worker outlives any outage
broker_connection_timeout = 4.0  # seconds to connect
broker_pool_limit = 10  # connections that publish, per process
broker_transport_options = {
    "visibility_timeout": 300,  # seconds; brings raw messages back that a dead worker had taken
    "unacked_restore_interval": 10,  # seconds between two looks for messages of dead workers …
    "unacked_restore_throttle": 1,  # … at each of them (Celery's default: every tenth)
    "socket_timeout": _timeout_s,  # seconds for one answer; longer than a blocking read
    "socket_connect_timeout": _timeout_s,
    "socket_keepalive": True,
    "health_check_interval": 25,  # seconds
    **_names.unacked_keys(),
}
if broker_url.startswith("sentinel"):
    broker_transport_options |= _settings.sentinel_transport(_settings.broker)
task_publish_retry = True
task_publish_retry_policy = {  # once more on a fresh connection; after that the sweeper has it
    "max_retries": 1,
    "interval_start": 0.1,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
redis_socket_timeout = _timeout_s  # the result backend's
redis_socket_connect_timeout = _timeout_s
redis_retry_on_timeout = True
redis_backend_health_check_interval = 25  # seconds
result_backend_transport_options = {
    "retry_policy": {"timeout": 5.0},
    "global_keyprefix": _names.prefix,  # of the results' keys
}
if result_backend.startswith("sentinel"):
    result_backend_transport_options |= _settings.sentinel_transport(_settings.results)

# --- beat -----------------------------------------------------------------------------------------
beat_scheduler = (
    "worker.beat:SteadyScheduler"  # in memory: every entry is an interval and idempotent
)
_has_archive = _settings.memory.archive_url is not None
beat_schedule = beat_entries(_queue, has_archive=_has_archive)  # sweep, TTLs, clean-up, statistics
beat_max_loop_interval = 5  # seconds
