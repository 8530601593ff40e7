"""What people say is in the memory and the results, and in no place where others look."""

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from celery import Celery

from sandbox.collector import Collector, collector
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app, chat_task
from tasks.process.anew import read_settings_again
from tests.conftest import FAST
from tests.support.inbox import Inbox
from tests.support.machine import scaled
from tests.support.metrics.shown import own_text, scraped, targets
from tests.support.privacy import own_doors, raw_doors, served_doors
from tests.support.privacy import places as seen
from tests.support.privacy.setup import PROFILES, Setup, canary
from tests.support.waiting import wait_until
from tests.support.webhooks.receiver import SECRET, Receiver, receiver

WAIT_S = seen.WAIT_S
DOORS = own_doors.DOORS | raw_doors.DOORS | served_doors.DOORS
TEXTS = {name: canary() for name in DOORS}
FORGED = "one\n2001-01-01 00:00:00,000 CRITICAL forged\r\x1b[2K\u2028\u202e"
"""An id that would write a line of its own, and hide the one before it."""
LOGIN = ("operator", "a-password")
OPTIONS = ("--loglevel=DEBUG", "-c", "50")


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Agents with tools that fail."""
    path = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    path.write_text(PROFILES, "utf-8")
    return path


@pytest.fixture(scope="module")
def collected() -> Iterator[Collector]:
    """Takes the worker's spans."""
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def worker(stack: GriotStack, profiles: Path, collected: Collector) -> ServerProcess:
    """A worker that logs everything, shows metrics, and traces all."""
    given = {"AGENT_PROFILES": str(profiles), "CHAT_MAX_ATTEMPTS": "2"}
    return stack.worker(*OPTIONS, **given, **_traced(collected), **_metrics(stack))


@pytest.fixture(scope="module")
def http(stack: GriotStack, worker: ServerProcess, collected: Collector) -> Iterator[httpx.Client]:
    """A client of a gateway that logs everything, too."""
    _, url = stack.gateway(LOG_LEVEL="DEBUG", **_traced(collected), **_metrics(stack))
    with httpx.Client(base_url=url, trust_env=False, timeout=scaled(30)) as client:
        yield client


@pytest.fixture(scope="module")
def hooks() -> Iterator[Mapping[str, Receiver]]:
    """Receivers of webhooks."""
    with receiver() as takes, receiver() as gone:
        gone.status = 410
        yield {"takes": takes, "gone": gone}


@pytest.fixture(scope="module")
def griot_settings(hooks: Mapping[str, Receiver]) -> Iterator[Mapping[str, str]]:
    """Short times, and receivers that are allowed; for all processes, and for this one."""
    own = {
        "WEBHOOK_HOSTS": ",".join(f"http://127.0.0.1:{one.port}" for one in hooks.values()),
        "WEBHOOK_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_SECRETS": SECRET,
        "WEBHOOK_RETRY_BASE_SECONDS": "0.2",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, given in {**own, "CHAT_ALLOWED_MODELS": "*"}.items():
            patch.setenv(name, given)
        read_settings_again()
        yield {**FAST, **own}
    read_settings_again()


def _traced(collected: Collector) -> dict[str, str]:
    address = {"OTEL_EXPORTER_OTLP_ENDPOINT": collected.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    return {**address, "TRACE_SESSIONS": "true"}


def _metrics(stack: GriotStack) -> dict[str, str]:
    return {"METRICS_PORT": str(free_port()), "METRICS_TARGETS": str(_targets(stack))}


def _targets(stack: GriotStack) -> Path:
    return stack.directory / "targets"


@pytest.fixture(scope="module")
def flower(stack: GriotStack, worker: ServerProcess) -> Iterator[httpx.Client]:
    """A client of Flower."""
    _, url = stack.flower(FLOWER_BASIC_AUTH=":".join(LOGIN))
    with httpx.Client(base_url=url, auth=LOGIN, timeout=scaled(20)) as client:
        wait_until(lambda: client.get("/api/workers").json(), timeout_s=WAIT_S, what="a worker")
        yield client


@pytest.fixture(scope="module")
def events(worker: ServerProcess) -> Iterator[list[dict[str, object]]]:
    """Celery's events, as a monitor sees them."""
    seen: list[dict[str, object]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        thread = threading.Thread(
            target=receiver.capture, kwargs={"limit": None, "wakeup": False}, daemon=True
        )
        thread.start()
        wait_until(lambda: seen, what="the monitor hears the worker's heartbeat")
        yield seen
        receiver.should_stop = True
        thread.join(scaled(5))


@pytest.fixture(scope="module")
def producer_log() -> Iterator[list[str]]:
    """What our packages log in the process of a sender."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    ours = [logging.getLogger(name) for name in ("tasks", "memory", "agents", "llm")]
    levels = [one.level for one in ours]
    for logger in ours:
        logger.addHandler(handler)
        logger.setLevel("DEBUG")
    yield lines
    for logger, level in zip(ours, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture(scope="module")
def setup(
    stack: GriotStack, valkey: ValkeyServer, http: httpx.Client, hooks: Mapping[str, Receiver]
) -> Iterator[Setup]:
    """The servers, and who sends."""
    urls = {"broker": valkey.url(1), "backend": valkey.url(2)}
    with (
        Celery("foreign", **urls, set_as_current=False) as foreign,
        app.connection_for_read(valkey.url(1)) as broker,
    ):
        yield Setup(stack, valkey, foreign, Inbox(broker), http, hooks)


@pytest.fixture(scope="module")
def places(
    *,
    setup: Setup,
    worker: ServerProcess,
    events: list[dict[str, object]],
    flower: httpx.Client,
    producer_log: list[str],
    collected: Collector,
) -> dict[str, str]:
    """All texts once through their doors; then what each place shows."""
    for number, (name, go_in) in enumerate(DOORS.items()):
        go_in(setup, f"door-{number}", TEXTS[name])
    raw_doors.as_session(setup, "forged", FORGED)
    wait_until(setup.is_quiet, timeout_s=30, what="all that was sent has ended")
    seen.wait_until_told(setup)
    last = chat_task.delay("energy", "innocent", "hello", model="instant")
    shown = {"the result of another": json.dumps(last.get(timeout=WAIT_S))}
    wait_until(
        lambda: last.id in json.dumps([*events]) and last.id in flower.get("/api/tasks").text,
        what="monitors know of the last job",
    )
    shown |= {f"the log of {one.name}": one.log_text() for one in setup.stack.processes}
    shown |= {"the log": worker.log_text(), "the events": json.dumps([*events], default=repr)}
    shown |= {f"flower {path}": text for path, text in seen.pages(flower, setup).items()}
    shown |= seen.inspected(setup) | seen.told(setup.stack) | seen.gateway(setup)
    shown["what follows a job"] = json.dumps([one.headers for one in setup.inbox.messages()])
    shown["what senders are told"] = "\n".join(setup.refusals)
    shown["a sender's log"] = "\n".join(producer_log)
    shown["process titles"] = seen.titles(worker)
    wait_until(
        lambda: last.id in seen.spans(collected), timeout_s=WAIT_S, what="the spans of the last job"
    )
    shown["the spans"] = seen.spans(collected)
    shown["a sender's metrics"] = own_text()
    # Not before, for whoever inspects is answered by one worker.
    setup.stack.maintenance(**_metrics(setup.stack))
    setup.stack.beat("--loglevel", "debug", **_metrics(setup.stack))
    wait_until(lambda: "beat" in targets(_targets(setup.stack)), what="beat shows its metrics")
    shown |= {
        f"the metrics of a {role}": scraped(address)
        for role, (address,) in targets(_targets(setup.stack)).items()
    }
    for job_id in setup.held:
        chat_task.cancel(job_id)
    return shown


@pytest.mark.parametrize("door", DOORS)
def test_a_text_is_shown_nowhere(door: str, places: dict[str, str]) -> None:
    """Whichever door it came through, whatever became of it."""
    word = TEXTS[door].split()[1]
    assert {place: _around(text, word) for place, text in places.items() if word in text} == {}


def _around(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 200) : at + 100]


def test_no_id_writes_a_line_of_its_own(places: dict[str, str]) -> None:
    """Its line's ends and control characters are escaped or left out wherever it is written."""
    told = {place: text for place, text in places.items() if place.startswith(AS_LINES)}
    assert "CRITICAL forged" in told["the log"]
    assert {place for place, text in told.items() if "\n2001-01-01" in text} == set()
    assert {place for place, text in told.items() if set("\r\x1b\u2028\u202e") & {*text}} == set()


AS_LINES = ("the log", "griot", "what senders", "a sender")

SHOWN = {
    "the spans": "door-0",
    "the log": "door-0",
    "the events": "door-0",
    "inspect active": "door-",
    "inspect scheduled": "door-",
    "celery report": "task_acks_late",
    "inspect conf": "task_acks_late",
    "inspect stats": "hostname",
    "what follows a job": "somebody.elses",
    "what senders are told": "think: must be",
    "griot status": "dead",
    "griot sessions": "door-",
    "process titles": "python",
    "the metrics of a worker": 'griot_attempts_total{agent="energy"',
    "the metrics of a maintenance": 'griot_pending_jobs{agent="energy"',
    "the metrics of a gateway": "griot_http_requests_total{",
    "the metrics of a beat": "griot_build",
    "the log of gateway": "Uvicorn running on",
    "gateway /v1/console?slow=true": "door-",
    "what a receiver that takes was told": "response.completed",
    "what a receiver that gone was told": "response.",
    "a sender's metrics": "griot_redis_round_trip_seconds_count",
    "flower /api/tasks": "door-0",
}


@pytest.mark.parametrize("place", SHOWN)
def test_each_place_shows_something(place: str, places: dict[str, str]) -> None:
    """So that a text which is shown there would be found."""
    assert SHOWN[place] in places[place]


def test_of_the_broker_is_shown_where_it_is(places: dict[str, str]) -> None:
    """Not its options: the Sentinels' password is among them."""
    assert "virtual_host" in places["inspect stats"]
    assert "transport_options" not in places["inspect stats"]


def test_there_are_doors_enough() -> None:
    """At least forty."""
    assert len(DOORS) >= 40


def test_no_text_in_the_broker(worker: ServerProcess, valkey: ValkeyServer) -> None:
    """A wake-up of ours says whose turn it is, not what was said."""
    text, seen = canary(), ""
    for number in range(5):
        chat_task.delay("energy", "unseen", f"{text} {number}", model="delay:0.2s")
        seen += str(valkey.command("EVAL", BROKER_TEXT, 0))
    assert text not in seen


BROKER_TEXT = """
redis.call('SELECT', 1)
local all = {}
for _, part in ipairs(redis.call('HVALS', 'unacked')) do all[#all + 1] = part end
for _, part in ipairs(redis.call('LRANGE', 'chat', 0, -1)) do all[#all + 1] = part end
return table.concat(all, ' ')
"""
