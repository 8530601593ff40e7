"""How a process is put together: settings that are checked, addresses that follow, one of each."""

import os
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from traceback import format_exception

import pytest
from celery.backends.base import DisabledBackend
from pydantic import SecretStr

from agents.settings import read_agent_settings
from llm import LLMService
from memory import Connection, MemorySettings
from memory.settings import read_settings
from tasks.errors import ConfigurationError
from tasks.process.app import GriotCelery
from tasks.process.configuration import Settings, load_settings
from tasks.process.per_process import PerProcess
from tasks.process.runtime import Runtime
from tasks.process.services import ProducerServices
from tasks.process.worker.services import WorkerServices
from tests.conftest import FAST
from tests.support.machine import scaled

SECRET = "s3cret"  # noqa: S105  # no one's
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this suite and no .env file plays a part."""
    for name in ("REDIS_URL", *FAST):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings of an environment, past the cache."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings: Settings = load_settings.__wrapped__()
    return settings


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "a number out of bounds": (
        {"CHAT_LEASE_SECONDS": "0.1"},
        "CHAT_LEASE_SECONDS=0.1: Input should be greater than or equal to 0.5 (How long",
    ),
    "no number": ({"REDIS_PORT": "abc"}, "REDIS_PORT=abc: Input should be a valid integer"),
    "two lines": ({"REDIS_PORT": "1\n2"}, "REDIS_PORT=1 2: Input"),
    "a mode that does not exist": ({"REDIS_MODE": "x"}, "REDIS_MODE=x: Input should be 'single'"),
    "a prefix with a space": ({"REDIS_KEY_PREFIX": "a b"}, "REDIS_KEY_PREFIX=a b: "),
    "a hot model": ({"LLM_TEMPERATURE": "3"}, "LLM_TEMPERATURE=3: "),
    "a model that is an address": ({"OLLAMA_MODEL": "http://x"}, "OLLAMA_MODEL: 'http://x' is"),
    "a negative window": ({"AGENT_MAX_HISTORY": "-1"}, "AGENT_MAX_HISTORY=-1: "),
    "profiles that are not there": ({"AGENT_PROFILES": "none"}, "AGENT_PROFILES=none: No such"),
    "an address of no kind": ({"REDIS_URL": f"http://:{SECRET}@h"}, "REDIS_URL "),
    "no address": ({"REDIS_URL": SECRET}, "REDIS_URL "),
    "an address with a login": (
        {"OLLAMA_BASE_URL": f"http://me:{SECRET}@h:1"},
        "OLLAMA_BASE_URL: must be http://host:port",
    ),
    "a name for a db": ({"REDIS_URL": f"redis://:{SECRET}@h:1/x"}, "REDIS_URL does not end in"),
    "a socket without a broker": (
        {"REDIS_URL": "unix:///run/redis.sock"},
        "CELERY_BROKER_URL must be given",
    ),
    "Sentinel without Sentinels": ({"REDIS_MODE": "sentinel"}, "needs REDIS_SENTINELS="),
    "Sentinel without a broker": (
        {"REDIS_MODE": "sentinel", "REDIS_SENTINELS": "a:1,b:2"},
        "CELERY_BROKER_URL must be given: REDIS_MODE=sentinel has no numbered dbs",
    ),
    "a cluster without a broker": (
        {"REDIS_MODE": "cluster"},
        "CELERY_BROKER_URL must be given: REDIS_MODE=cluster has no numbered dbs",
    ),
    "a broker of no kind": (
        {"CELERY_BROKER_URL": f"foo://:{SECRET}@h"},
        "CELERY_BROKER_URL must begin with redis://, rediss://, sentinel://, redis+socket://, "
        "amqp://, amqps:// or pyamqp://, such as redis://:password@",
    ),
    "a broker without a kind": ({"CELERY_BROKER_URL": "localhost"}, "CELERY_BROKER_URL must begin"),
    "a second broker of another kind": (
        {"CELERY_BROKER_URL": f"sentinel://a:1;memory://:{SECRET}@b"},
        "CELERY_BROKER_URL must begin",
    ),
    "an authority that is not there": (
        {"CELERY_BROKER_URL": f"amqps://:{SECRET}@h//?ssl_ca_certs=/no/ca.pem"},
        "CELERY_BROKER_URL: ssl_ca_certs=/no/ca.pem is not a file",
    ),
    "an authority of the memory that is not there": (
        {"REDIS_URL": f"rediss://:{SECRET}@h/0?ssl_ca_certs=/no/ca.pem"},
        "REDIS_URL: ssl_ca_certs=/no/ca.pem is not a file",
    ),
    "several RabbitMQs over TLS": (
        {"CELERY_BROKER_URL": f"amqps://:{SECRET}@a//;amqps://:{SECRET}@b//"},
        "CELERY_BROKER_URL: amqps:// accepts one address",
    ),
    "results beside a RabbitMQ and a cluster": (
        {"CELERY_BROKER_URL": f"amqp://:{SECRET}@h/1", "REDIS_MODE": "cluster"},
        "CELERY_RESULT_BACKEND must be given",
    ),
    "an unknown word for certificates": (
        {"REDIS_URL": f"rediss://:{SECRET}@h/0?ssl_cert_reqs=maybe"},
        "REDIS_URL: ssl_cert_reqs must be none, optional or required",
    ),
    "no word for certificates": (
        {"CELERY_BROKER_URL": f"rediss://:{SECRET}@h/0?ssl_cert_reqs="},
        "CELERY_BROKER_URL: ssl_cert_reqs must be",
    ),
    "an unknown word for those of a RabbitMQ": (
        {"CELERY_BROKER_URL": f"amqps://:{SECRET}@h//?ssl_cert_reqs=0"},
        "CELERY_BROKER_URL: ssl_cert_reqs must be",
    ),
    "an unknown option of TLS": (
        {"CELERY_RESULT_BACKEND": f"rediss://:{SECRET}@h/0?ssl_trust=all"},
        "CELERY_RESULT_BACKEND: unknown TLS option; an address may have only ssl_ca_certs",
    ),
    "TLS for the memory without TLS": (
        {"REDIS_URL": f"redis://:{SECRET}@h/0?ssl_cert_reqs=none"},
        "REDIS_URL has an option that is not allowed",
    ),
    "TLS for the results without TLS": (
        {"CELERY_RESULT_BACKEND": f"redis://:{SECRET}@h/0?ssl_cert_reqs=none"},
        "CELERY_RESULT_BACKEND has a TLS option, but redis:// does not use TLS",
    ),
    "stale while active": ({"MEMORY_STALE_AFTER": "60"}, "MEMORY_STALE_AFTER=60 must be longer"),
}


@pytest.mark.parametrize(("variables", "line"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_one_line_that_names_it_and_no_secret(
    variables: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable, its value and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(monkeypatch, **variables, REDIS_PASSWORD=SECRET)
    message = str(caught.value)
    assert line in message
    assert "\n" not in message
    assert SECRET not in message


OTHER_BROKERS = (
    "memory", "filesystem", "SQS", "sqs", "kafka", "confluentkafka", "mongodb", "sqla+sqlite",
    "zookeeper", "etcd", "consul", "gcpubsub", "azureservicebus", "librabbitmq", "redis+sqla",
)  # fmt: skip
OTHER_RESULTS = (
    "rpc", "disabled", "file", "cache", "cache+memory", "db+sqlite", "database", "mongodb", "s3",
    "dynamodb", "elasticsearch", "cassandra", "amqp", "foo",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("CELERY_BROKER_URL", kind) for kind in OTHER_BROKERS),
        *(("CELERY_RESULT_BACKEND", kind) for kind in OTHER_RESULTS),
    ],
)
def test_a_broker_or_results_of_a_kind_that_is_not_supported_are_refused(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Celery knows it or not; the line says what is allowed."""
    with pytest.raises(ConfigurationError, match=f"{name} must begin with redis://") as caught:
        loaded(monkeypatch, **{name: f"{kind}://:{SECRET}@h/1"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "broker", "backend"),
    [
        ({}, "redis://localhost:6379/1", "redis://localhost:6379/2"),
        ({"REDIS_DB": "7"}, "redis://localhost:6379/8", "redis://localhost:6379/9"),
        ({"REDIS_URL": "redis://h:1"}, "redis://h:1/1", "redis://h:1/2"),
        ({"REDIS_URL": "redis://h:1/4"}, "redis://h:1/5", "redis://h:1/6"),
        (
            {"REDIS_PASSWORD": "p@ss:w/rd%", "REDIS_HOST": "r"},
            "redis://:p%40ss%3Aw%2Frd%25@r:6379/1",
            "redis://:p%40ss%3Aw%2Frd%25@r:6379/2",
        ),
        (
            {"REDIS_USERNAME": "a b", "REDIS_PASSWORD": "p"},
            "redis://a%20b:p@localhost:6379/1",
            "redis://a%20b:p@localhost:6379/2",
        ),
        (
            {"REDIS_URL": "redis://u:p%40@h:1/0", "REDIS_PASSWORD": "ignored"},
            "redis://u:p%40@h:1/1",
            "redis://u:p%40@h:1/2",
        ),
        (
            {"REDIS_URL": "rediss://h:1/0"},
            "rediss://h:1/1?ssl_cert_reqs=required",
            "rediss://h:1/2?ssl_cert_reqs=required",
        ),
        (
            {"REDIS_URL": "rediss://h:1/0?ssl_cert_reqs=none"},
            "rediss://h:1/1?ssl_cert_reqs=none",
            "rediss://h:1/2?ssl_cert_reqs=none",
        ),
        ({"CELERY_BROKER_URL": "redis://b/0"}, "redis://b/0", "redis://localhost:6379/2"),
        (
            {
                "REDIS_MODE": "sentinel",
                "REDIS_SENTINELS": "a:1",
                "CELERY_BROKER_URL": "sentinel://a:1",
                "CELERY_RESULT_BACKEND": "redis://b/0",
            },
            "sentinel://a:1",
            "redis://b/0",
        ),
        (
            {"CELERY_BROKER_URL": "amqps://u:p@h//"},
            "amqps://u:p@h//",
            "redis://localhost:6379/2",
        ),
        (
            {
                "CELERY_BROKER_URL": "sentinel://a:1;sentinel://b:2/3",
                "CELERY_RESULT_BACKEND": "rediss://b/0?ssl_cert_reqs=CERT_NONE",
            },
            "sentinel://a:1;sentinel://b:2/3",
            "rediss://b/0?ssl_cert_reqs=none",
        ),
    ],
)
def test_the_addresses_of_celery_follow_from_those_of_the_memory(
    variables: dict[str, str], broker: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same server, the next two dbs, unless they are given."""
    settings = loaded(monkeypatch, **variables)
    assert settings.broker_url == broker
    assert settings.result_backend == backend


def test_the_certificate_of_a_rabbitmq_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And its host name, unless the address says no; other options stay in it."""
    trusted = tmp_path / "ca.pem"
    trusted.touch()
    address = f"amqps://u:p@h:5671//?ssl_ca_certs={trusted}"
    checked = loaded(monkeypatch, CELERY_BROKER_URL=f"{address}&heartbeat=9")
    assert checked.broker.url == "amqps://u:p@h:5671//?heartbeat=9"
    assert checked.broker.tls == {
        "ca_certs": str(trusted), "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "h",
    }  # fmt: skip
    trusting = loaded(monkeypatch, CELERY_BROKER_URL="amqps://u:p@h//?ssl_cert_reqs=none")
    assert trusting.broker.tls == {"cert_reqs": ssl.CERT_NONE}
    assert loaded(monkeypatch, CELERY_BROKER_URL="redis://h/1").broker.tls is None


@pytest.mark.parametrize(
    ("given", "of_redis_py"),
    [
        ("redis://:p@h/1", "redis://:p@h/1"),
        ("rediss://h/1", "rediss://h/1?ssl_cert_reqs=required"),
        ("redis+socket://:p@/run/r.sock?virtual_host=3", "unix://:p@/run/r.sock?db=3"),
    ],
)
def test_the_address_of_the_results_as_redis_py_has_it(
    given: str, of_redis_py: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a Unix socket is written in another way; redis-py takes it."""
    settings = loaded(monkeypatch, CELERY_RESULT_BACKEND=given)
    plain = settings.plain_results
    assert plain is not None
    assert plain.url == SecretStr(of_redis_py)
    Connection(plain)


ADDRESSES = """
from tasks import app
checks = [app.connection().ssl, app.connection_for_read().ssl, app.backend.connparams]
asked = [check["ssl_cert_reqs"] for check in checks]
print(app.backend.url, *(str(getattr(one, "name", one)).lower() for one in asked))
"""


def test_celery_gets_the_addresses_that_were_checked(tmp_path: Path) -> None:
    """Not those of the environment, which Celery reads itself: certificates are required."""
    address = "rediss://h/1"
    done = subprocess.run(
        [sys.executable, "-c", ADDRESSES],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CELERY_BROKER_URL": f"{address}?ssl_cert_reqs=CERT_REQUIRED",
            "CELERY_RESULT_BACKEND": address,
        },
        capture_output=True,
        text=True,
        timeout=scaled(40),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{address} ")
    assert done.stdout.count("required") == 3


SPELLINGS = [
    *(("none", said) for said in ("none", "None", "CERT_NONE", "cert_none", "ssl.CERT_NONE")),
    *(("optional", said) for said in ("optional", "OPTIONAL", "CERT_OPTIONAL")),
    *(("required", said) for said in ("required", "Required", "CERT_REQUIRED", "cert_required")),
]


@pytest.mark.parametrize(("meant", "said"), SPELLINGS)
def test_a_spelling_of_ssl_cert_reqs_means_the_same_everywhere(
    meant: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the memory's address and in those that follow from it, in Celery's own, and with
    RabbitMQ and Sentinels."""
    settings = loaded(monkeypatch, REDIS_URL=f"rediss://h/0?ssl_cert_reqs={said}")
    assert Connection(settings.memory).endpoint.options["ssl_cert_reqs"] == meant
    for address in (settings.broker, settings.results):
        assert address.tls == {"ssl_cert_reqs": meant, "ssl_check_hostname": True}
    given = loaded(
        monkeypatch,
        CELERY_BROKER_URL=f"amqps://h//?ssl_cert_reqs={said}",
        CELERY_RESULT_BACKEND=f"sentinel://a:1/2?ssl_cert_reqs={said};sentinel://b:1/2",
    )
    assert given.broker.tls is not None
    of_rabbitmq = ssl.CERT_NONE if meant == "none" else ssl.CERT_REQUIRED
    assert given.broker.tls["cert_reqs"] == of_rabbitmq
    assert given.results.url == "sentinel://a:1/2;sentinel://b:1/2"
    assert given.results.tls == {"ssl_cert_reqs": meant, "ssl_check_hostname": True}
    assert given.plain_results is None, "Sentinels"
    assert settings.plain_results is not None
    assert settings.plain_results.url is not None
    assert f"ssl_cert_reqs={meant}" in settings.plain_results.url.get_secret_value()


def test_every_option_of_tls_means_the_same_for_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its backend takes `false` for a text that is not empty, and a version for a text."""
    options = "ssl_check_hostname=false&ssl_min_version=771"
    settings = loaded(monkeypatch, REDIS_URL=f"rediss://h/0?{options}")
    for address in (settings.broker, settings.results):
        assert address.url.endswith(("rediss://h/1", "rediss://h/2"))
        assert address.tls == {
            "ssl_cert_reqs": "required", "ssl_check_hostname": False, "ssl_min_version": 771,
        }  # fmt: skip


def test_a_service_variable_of_kubernetes_is_nobodys_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service called `redis` sets REDIS_PORT for every container beside it."""
    service = "tcp://10.96.0.7:6379"
    assert loaded(monkeypatch, REDIS_PORT=service).memory.port == 6379
    settings = loaded(monkeypatch, REDIS_PORT=service, REDIS_URL="redis://r:7/3")
    assert settings.broker_url == "redis://r:7/4"
    monkeypatch.delenv("REDIS_PORT")
    (tmp_path / ".env").write_text(f"REDIS_PORT={service}\n")
    assert loaded(monkeypatch).memory.port == 6379


NO_UTF8 = {
    "UTF-16": "REDIS_HOST=h\n".encode("utf-16"),
    "UTF-16 without a mark": "REDIS_HOST=h\n".encode("utf-16-le"),
    "Latin-1": f"REDIS_HOST=h\nREDIS_PASSWORD={SECRET}ä\n".encode("latin-1"),
    "a byte-order mark": "\ufeffREDIS_HOST=h\n".encode(),
}


@pytest.mark.parametrize("content", NO_UTF8.values(), ids=NO_UTF8.keys())
def test_a_dotenv_file_that_is_no_utf8_is_named(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In one line, not read as names that nobody knows; also by the memory, by an agent and by the
    model's service alone."""
    path = tmp_path / ".env"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        loaded(monkeypatch)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    for make in (read_settings, read_agent_settings, LLMService):
        with pytest.raises(ValueError, match="UTF-8") as told:
            make()
        assert str(path) in str(told.value)
        assert "\n" not in str(told.value)
        assert SECRET not in "".join(format_exception(told.value))


@pytest.mark.parametrize(
    "line", [f"REDIS_PASSWORD {SECRET}", f"A='{SECRET}", f"REDIS_HOST: {SECRET}"]
)
def test_a_line_of_the_dotenv_file_that_is_no_setting_is_named(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By its number, in one line, at each door; its words are not told."""
    path = tmp_path / ".env"
    path.write_text(f"# Redis\nREDIS_DB=1\n{line}\n")
    for make in (lambda: loaded(monkeypatch), read_settings, read_agent_settings, LLMService):
        with pytest.raises(ValueError, match=r"line 3 cannot be read: write NAME=value") as told:
            make()
        assert "\n" not in str(told.value)
        assert SECRET not in "".join(format_exception(told.value))
    assert caplog.text == ""


def test_a_dotenv_file_that_is_a_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Docker makes one for a file that it does not find. A virtual environment of that name stays
    what it is."""
    path = tmp_path / ".env"
    path.mkdir()
    for make in (lambda: loaded(monkeypatch), read_settings, read_agent_settings, LLMService):
        with pytest.raises(ValueError, match=r"\.env cannot be read: Is a directory"):
            make()
    (path / "pyvenv.cfg").touch()
    assert loaded(monkeypatch).memory.port == 6379
    LLMService().close()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_profiles_in_another_encoding_are_named(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A byte-order mark is no TOML, which says only that line 1 is wrong."""
    path = tmp_path / "profiles.toml"
    path.write_bytes('[default]\nsystem_prompt = "Grüße"\n'.encode(encoding))
    with pytest.raises(ConfigurationError, match=r"AGENT_PROFILES=.*profiles\.toml: .*UTF-8"):
        loaded(monkeypatch, AGENT_PROFILES=str(path))


def test_results_that_the_environment_names_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Flower does, which must not read replies."""
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://localhost/3")
    watcher = GriotCelery("watcher", set_as_current=False)
    watcher.conf.update(result_backend="disabled")
    assert isinstance(watcher.backend, DisabledBackend)


def test_no_repr_of_the_settings_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the whole nor of its parts."""
    settings = loaded(
        monkeypatch, REDIS_PASSWORD=SECRET, CELERY_BROKER_URL=f"redis://:{SECRET}@b/0"
    )
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "stale_s"),
    [
        ({}, 7 * 86_400),
        ({"REDIS_MEMORY_TTL": "2592000"}, 2_592_000),
        ({"MEMORY_STALE_AFTER": "7200"}, 7200),
    ],
)
def test_a_session_is_stale_after_its_ttl_and_a_week_at_least(
    variables: dict[str, str], stale_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the operator says otherwise."""
    assert loaded(monkeypatch, **variables).stale_after_s == stale_s


def test_a_dotenv_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By every package; the environment wins."""
    lines = "REDIS_HOST=of-file\nOLLAMA_MODEL=m:1\nAGENT_MAX_HISTORY=3\nCHAT_LEASE_SECONDS=9\n"
    (tmp_path / ".env").write_text(lines)
    settings = loaded(monkeypatch, AGENT_MAX_HISTORY="4")
    assert (settings.memory.host, settings.llm.model) == ("of-file", "m:1")
    assert (settings.agents.max_history, settings.queue.lease_s) == (4, 9.0)


def test_the_services_are_made_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once; nothing is connected by making them."""
    producer = ProducerServices(loaded(monkeypatch, REDIS_KEY_PREFIX="other"))
    assert producer.memory is producer.memory
    assert producer.keyspace.prefix == "other"
    assert isinstance(producer.settings.memory, MemorySettings)
    worker = WorkerServices(producer, Runtime())
    assert worker.toolbox is worker.toolbox
    assert worker.queue_wait is producer.queue_wait
    producer.memory.close()


def test_a_value_is_built_once_by_many_threads() -> None:
    """The slow ones wait for the first."""
    threads, built = 16, []
    together = threading.Barrier(threads)

    def build() -> object:
        built.append(threading.current_thread())
        return object()

    value = PerProcess(build)

    def use() -> int:
        together.wait(timeout=scaled(10))
        return id(value())

    with ThreadPoolExecutor(threads) as pool:
        seen = {future.result() for future in [pool.submit(use) for _ in range(threads)]}
    assert len(seen) == len(built) == 1


def test_a_value_that_could_not_be_built_is_tried_again() -> None:
    """A first failure is no reason for a second."""
    outcomes = [ValueError("not yet"), None]

    def build() -> str:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome
        return "built"

    value = PerProcess(build)
    with pytest.raises(ValueError, match="not yet"):
        value()
    assert value() == "built"
    assert value() == "built"


FORK = """
import os, signal
from tasks.process.per_process import PerProcess
value = PerProcess(lambda: object())
parents = value()
value._lock.acquire()  # as another thread might at the moment of the fork
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if value() is not parents and value() is value() else 1)
value._lock.release()
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, "the child shares its parent's value"
assert value() is parents
"""


def test_a_forked_child_builds_its_own() -> None:
    """Connections must not be shared; a lock held at the fork must not be held for ever."""
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=scaled(40),
        check=False,
    )
    assert done.returncode == 0, done.stderr
