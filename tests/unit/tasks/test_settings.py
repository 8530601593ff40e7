"""The settings of the queue: names, defaults, bounds; and what beat makes of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

import tasks
from tasks.beat.schedule import beat_entries
from tasks.settings import QueueSettings

DAY_S = 86_400


@dataclass(frozen=True)
class Bound:
    """A number from the environment: its field, default, and the least and the most allowed."""

    name: str
    field: str
    default: float | None
    least: float
    most: float


BOUNDS = (
    Bound("CELERY_RESULT_TTL", "result_ttl_s", DAY_S, 1, 7 * DAY_S),
    Bound("WORKER_CONCURRENCY", "concurrency", 100, 1, 2000),
    Bound("WORKER_DRAIN_SECONDS", "drain_s", 20, 0, 3600),
    Bound("CHAT_LEASE_SECONDS", "lease_s", 30, 0.5, 3600),
    Bound("CHAT_SWEEP_SECONDS", "sweep_s", 5, 0.1, 600),
    Bound("CHAT_GRACE_SECONDS", "grace_s", 5, 0.1, 600),
    Bound("CHAT_MAX_ATTEMPTS", "max_attempts", 5, 1, 100),
    Bound("CHAT_MAX_WAIT_SECONDS", "max_wait_s", DAY_S, 1, 30 * DAY_S),
    Bound("CHAT_MAX_PENDING", "max_pending", 100, 1, 100_000),
    Bound("CHAT_MAX_PENDING_TOTAL", "max_pending_total", 10_000, 1, 100_000_000),
    Bound("CHAT_JOBS_KEPT_SECONDS", "jobs_kept_s", 86_400, 0, 604_800),
    Bound("CHAT_MAX_JOBS_KEPT", "max_jobs_kept", 20_000, 0, 1_000_000),
    Bound("CHAT_MAX_PENDING_PER_AGENT", "max_pending_per_agent", 5000, 1, 100_000_000),
    Bound("CHAT_MAX_SESSIONS", "max_sessions", 100_000, 1, 1_000_000_000),
    Bound("CHAT_MAX_DEAD_LETTERS", "max_dead_letters", 10_000, 1, 100_000_000),
    Bound("CHAT_MAX_RESULT_BYTES", "max_result_bytes", 2_097_152, 1024, 67_108_864),
    Bound("CHAT_USER_JOBS_PER_MINUTE", "user_jobs_per_minute", None, 1, 100_000),
    Bound("CHAT_USER_TOKENS_PER_DAY", "user_tokens_per_day", None, 1, 1_000_000_000),
    Bound("CHAT_USER_JOBS_AT_ONCE", "user_jobs_at_once", None, 1, 1_000_000),
    Bound("CHAT_MAX_MESSAGE_BYTES", "max_message_bytes", 32_768, 1, 1_048_576),
    Bound("CHAT_MAX_IMAGES", "max_images", 4, 0, 100),
    Bound("CHAT_MAX_IMAGE_BYTES", "max_image_bytes", 524_288, 1, 33_554_432),
    Bound("CHAT_MAX_EMBEDDING_TEXTS", "max_embedding_texts", 2048, 1, 100_000),
    Bound("CHAT_MAX_EMBEDDING_BYTES", "max_embedding_bytes", 1_048_576, 1, 67_108_864),
    Bound("CHAT_EMBEDDING_WAIT_SECONDS", "embedding_wait_s", 10, 0, 600),
    Bound("CHAT_MAX_ENVELOPE_BYTES", "max_envelope_bytes", None, 1024, 268_435_456),
    Bound("CHAT_RETRY_BASE_SECONDS", "retry_base_s", 1, 0.01, 600),
    Bound("CHAT_RETRY_MAX_SECONDS", "retry_max_s", 60, 0.01, 3600),
    Bound("MEMORY_EXTEND_EVERY", "extend_every_s", 300, 0.1, DAY_S),
    Bound("MEMORY_ACTIVE_WINDOW", "active_window_s", 3600, 1, 30 * DAY_S),
    Bound("MEMORY_CLEANUP_EVERY", "cleanup_every_s", 3600, 0.1, DAY_S),
    Bound("MEMORY_STALE_AFTER", "stale_after_s", None, 1, 3650 * DAY_S),
    Bound("ARCHIVE_EVERY", "archive_every_s", 60, 0.1, DAY_S),
    Bound("MEMORY_STATS_EVERY", "stats_every_s", 60, 0.1, DAY_S),
    Bound("MEMORY_STATS_KEPT", "stats_kept", 10_080, 1, 1_000_000),
)
ADDRESSES = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
CHOICES = {"CHAT_CANCEL_POLICY": ("keep", "discard")}
"""The default first."""
OTHERS = {
    "CHAT_ALLOWED_MODELS",
    "CHAT_CLOUD_MODELS",
    "CELERY_RESULT_ENCRYPTED",
    "TRACE_SESSIONS",
    "CHAT_PRIORITY_SHARES",
}
"""Their tests: tests/unit/tasks/job/test_allowed_models.py, tests/unit/memory/test_priority.py; e2e
tests of encryption and traces."""
WHOLE = {bound.name for bound in BOUNDS if not bound.field.endswith("_s")} | {"CELERY_RESULT_TTL"}

all_bounds = pytest.mark.parametrize("bound", BOUNDS, ids=[bound.name for bound in BOUNDS])


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this machine and no .env file plays a part."""
    for name in (*ADDRESSES, *OTHERS, *CHOICES, *(bound.name for bound in BOUNDS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def read(bound: Bound, value: object, monkeypatch: pytest.MonkeyPatch) -> object:
    """The field after the variable was set; other times stay out of its way."""
    if bound.name == "MEMORY_STALE_AFTER":
        monkeypatch.setenv("MEMORY_ACTIVE_WINDOW", "1")
    monkeypatch.setenv(bound.name, str(value))
    return getattr(QueueSettings(), bound.field)


def test_these_are_all_the_settings() -> None:
    """A new setting must come with its bounds, here."""
    known = {str(field.validation_alias) for field in QueueSettings.model_fields.values()}
    assert known == ADDRESSES | OTHERS | CHOICES.keys() | {bound.name for bound in BOUNDS}
    assert all(field.description for field in QueueSettings.model_fields.values())


@all_bounds
def test_a_setting_has_its_documented_default(bound: Bound) -> None:
    """As the table in docs/operations.md has it."""
    assert getattr(QueueSettings(), bound.field) == bound.default


@all_bounds
def test_a_value_at_a_bound_is_taken(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most; and the least, unless another setting forbids it."""
    assert read(bound, bound.most, monkeypatch) == bound.most
    if bound.name != "MEMORY_STALE_AFTER":
        assert read(bound, bound.least, monkeypatch) == bound.least


@all_bounds
@pytest.mark.parametrize("wrong", ["below", "above", "nan", "inf", "-inf", "many", "1,5", "1s"])
def test_a_value_beyond_a_bound_is_refused(
    bound: Bound, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name of the variable."""
    step = 1 if bound.name in WHOLE else 0.001
    beyond = {"below": bound.least - step, "above": bound.most + step}
    with pytest.raises(ValidationError, match=bound.name):
        read(bound, beyond.get(wrong, wrong), monkeypatch)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_count_is_a_whole_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds may be fractions, attempts may not."""
    monkeypatch.setenv(name, "1.5")
    with pytest.raises(ValidationError, match=name):
        QueueSettings()


@all_bounds
def test_an_empty_variable_is_no_variable(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker compose passes on what nobody set."""
    assert read(bound, "", monkeypatch) == bound.default


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_choice_is_one_of_its_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one where nothing is said."""
    fields = QueueSettings.model_fields.items()
    (field,) = (field for field, known in fields if known.validation_alias == name)
    assert getattr(QueueSettings(), field) == CHOICES[name][0]
    for word in CHOICES[name]:
        monkeypatch.setenv(name, word)
        assert getattr(QueueSettings(), field) == word
    monkeypatch.setenv(name, "other")
    with pytest.raises(ValidationError, match=name):
        QueueSettings()


@pytest.mark.parametrize("stale_s", ["3600", "1800"])
def test_an_active_session_is_never_stale(stale_s: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean-up would delete what the extension keeps alive."""
    monkeypatch.setenv("MEMORY_STALE_AFTER", stale_s)
    with pytest.raises(ValidationError, match=f"MEMORY_STALE_AFTER={stale_s} must be longer than"):
        QueueSettings()


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_an_address_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds a password."""
    monkeypatch.setenv(name, "redis://:s3cret@example:6379/1")
    assert "s3cret" not in repr(QueueSettings())


def test_milliseconds_are_whole() -> None:
    """What goes to Redis."""
    settings = QueueSettings(lease_s=0.5004)
    assert settings.lease_ms == 500


def test_beat_sends_every_periodic_task_and_lets_none_pile_up() -> None:
    """Each message has expired when the next of its kind is sent."""
    settings = QueueSettings(
        sweep_s=0.5, extend_every_s=2, cleanup_every_s=3, stats_every_s=4, active_window_s=9
    )
    entries = beat_entries(settings, has_archive=True).values()
    assert {entry["task"]: entry["schedule"] for entry in entries} == {
        "tasks.sweep": 0.5,
        "tasks.maintenance.extend_active_sessions": 2,
        "tasks.maintenance.clean_stale_sessions": 3,
        "tasks.maintenance.snapshot_memory_stats": 4,
        "tasks.maintenance.find_stray_mailboxes": 21_600.0,
        "tasks.maintenance.archive_sessions": 60.0,
    }
    without = beat_entries(settings, has_archive=False)
    assert [*without] == [one for one in beat_entries(settings, has_archive=True)][:-1]
    assert all(entry["options"]["expires"] <= entry["schedule"] for entry in entries)


def test_beat_sends_what_a_worker_knows() -> None:
    """By its registered name, to the queue that the maintenance worker consumes."""
    tasks.app.loader.import_default_modules()  # as a worker does
    for entry in beat_entries(QueueSettings(), has_archive=True).values():
        assert entry["task"] in tasks.app.tasks
        queue = tasks.app.amqp.router.route({}, entry["task"])["queue"]
        assert queue.name == "maintenance"
