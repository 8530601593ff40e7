"""What is said of a server that answers but cannot be used: its cause, and what to set."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery
from click.testing import CliRunner
from pydantic import SecretStr

from llm import LLMSettings
from memory import Connection, MemorySettings
from sandbox.valkey import ValkeyServer
from tasks import InvalidJob, chat_task
from tasks.errors import ConfigurationError
from tasks.process.configuration import Settings, load_settings
from tasks.settings import QueueSettings
from tests.support.machine import scaled
from tests.support.servers.tls_rig import Authority, TlsDoor
from tests.support.warm.python import run_python
from worker.checks.celery_start import celery_start_checks
from worker.checks.deployment import check_redis
from worker.checks.models import check_ollama
from worker.checks.tls import tls_findings
from worker.cli import main
from worker.cli.servers import redis_trouble

GROUP = sys.modules["worker.cli.group"]
RIGHT, WRONG = "right", "geheim"


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One with a password."""
    with ValkeyServer(password=RIGHT) as valkey:
        yield valkey


def settings_of(url: str) -> MemorySettings:
    """With this address, and little patience."""
    return MemorySettings(_env_file=None, url=SecretStr(url), timeout_s=1)


def all_at(url: str) -> Settings:
    """Memory, broker and results at one address."""
    return replace(load_settings(), memory=settings_of(url), queue=QueueSettings(_env_file=None))


def test_a_wrong_password_is_called_one(server: ValkeyServer) -> None:
    """By `griot check` and `griot up`, which do not advise to start a server that answers."""
    settings = settings_of(server.url().replace(RIGHT, WRONG))
    (found,) = check_redis(Connection(settings))
    assert "rejected the password" in found.found
    assert "correct REDIS_PASSWORD" in found.advice
    trouble = redis_trouble(settings)
    assert trouble is not None
    assert "rejected the password" in trouble
    for said in (found.found, found.advice, trouble):
        assert "start Redis" not in said
        assert WRONG not in said


def test_a_missing_password_is_called_one(server: ValkeyServer) -> None:
    """It is wanted, not wrong."""
    trouble = redis_trouble(settings_of(f"redis://127.0.0.1:{server.port}/0"))
    assert trouble is not None
    assert "wants a password; set REDIS_PASSWORD" in trouble


def test_a_database_that_is_not_there_is_called_one(server: ValkeyServer) -> None:
    """With its two ways out."""
    trouble = redis_trouble(settings_of(server.url(99)))
    assert trouble is not None
    assert "db 99 has no database of that number; lower it in REDIS_URL" in trouble
    assert "`databases`" in trouble


def test_tls_to_a_plain_server_is_told_within_seconds(server: ValkeyServer) -> None:
    """As what it is, of the memory and of what has its address."""
    url = server.url().replace("redis://", "rediss://")
    began_s = time.monotonic()
    trouble = redis_trouble(settings_of(url))
    assert time.monotonic() - began_s < scaled(3)
    assert trouble is not None
    assert trouble.endswith("does not speak TLS; write redis:// in REDIS_URL")
    found = tls_findings(all_at(url))
    assert set(found) == {"redis", "broker", "results"}
    assert all(one.advice == "write redis:// in REDIS_URL" for one in found.values())


def test_a_command_says_it_before_it_waits(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis' client alone waits for three time-outs. Help and usage are there nevertheless."""
    wrong = all_at(server.url().replace("redis://", "rediss://"))
    monkeypatch.setattr(GROUP, "load_settings", lambda: wrong)
    ended = CliRunner().invoke(main, ["cancel", "some-job"])
    assert ended.exit_code == 1
    assert ended.stderr == (
        f"griot: 127.0.0.1:{server.port} does not speak TLS; write redis:// in REDIS_URL\n"
    )
    assert CliRunner().invoke(main, ["cancel", "--help"]).exit_code == 0


def test_an_ollama_that_cannot_be_used_gets_the_advice_that_helps(
    server: ValkeyServer, tmp_path: Path
) -> None:
    """By who answers at its address: nobody, another program, or one that wants another scheme."""

    def advice(url: str) -> str:
        llm = LLMSettings(_env_file=None, base_url=url, connect_timeout_s=1)
        (found,) = check_ollama(replace(load_settings(), llm=llm))
        return found.advice

    assert advice("http://127.0.0.1:1").startswith(
        "start it, or correct host and port in OLLAMA_BASE_URL"
    )
    assert "(Ollama's port is 11434)" in advice("http://127.0.0.1")
    plain = f"127.0.0.1:{server.port}"
    assert advice(f"https://{plain}") == "write http:// in OLLAMA_BASE_URL"
    assert advice(f"http://{plain}") == (
        "something listens there: restart it if it is your Ollama, else correct OLLAMA_BASE_URL"
    )
    authority = Authority(tmp_path, "authority").create()
    with TlsDoor(server.port, authority.issue("127.0.0.1")) as door:
        assert advice(f"http://127.0.0.1:{door.port}") == "write https:// in OLLAMA_BASE_URL"


def test_a_plain_address_of_a_server_with_tls_is_told(server: ValkeyServer, tmp_path: Path) -> None:
    """The other way round."""
    authority = Authority(tmp_path, "authority").create()
    with TlsDoor(server.port, authority.issue("127.0.0.1")) as door:
        url = f"redis://:{RIGHT}@127.0.0.1:{door.port}/0"
        trouble = redis_trouble(settings_of(url))
        assert trouble is not None
        assert trouble.endswith("speaks TLS; write rediss:// in REDIS_URL")
        assert tls_findings(all_at(url))["broker"].advice == "write rediss:// in REDIS_URL"


def test_what_says_of_tls_what_is_so_is_well(server: ValkeyServer) -> None:
    """Nothing is found, nor of a server that is not there."""
    assert tls_findings(all_at(server.url())) == {}
    assert tls_findings(all_at("rediss://127.0.0.1:1/0")) == {}


@pytest.mark.parametrize(
    ("broker", "results", "said"),
    [
        (f"redis://:{WRONG}@{{}}/1", f"redis://:{RIGHT}@{{}}/2", "the broker .*password"),
        (f"redis://:{RIGHT}@{{}}/1", f"redis://:{WRONG}@{{}}/2", "the results .*password"),
        (f"redis://:{RIGHT}@{{}}/99", f"redis://:{RIGHT}@{{}}/2", "the broker .*`databases`"),
        (f"redis://:{RIGHT}@{{}}/1", f"redis://:{RIGHT}@{{}}/99", "the results .*`databases`"),
    ],
)
def test_a_worker_refuses_a_broker_and_results_that_will_never_work(
    server: ValkeyServer, broker: str, results: str, said: str
) -> None:
    """As it does the memory, in place of an error every few seconds, or at the first job."""
    at = f"127.0.0.1:{server.port}"
    app = Celery("one", broker=broker.format(at), backend=results.format(at), set_as_current=False)
    with pytest.raises(ConfigurationError, match=said) as refused:
        celery_start_checks(app)
    assert WRONG not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_worker_waits_for_a_broker_that_is_away() -> None:
    """And for results."""
    celery_start_checks(
        Celery("one", broker="redis://127.0.0.1:1/1", backend="redis://127.0.0.1:1/2")
    )


def test_a_task_that_is_called_says_how_it_is_sent() -> None:
    """`chat_task(...)` is Python's way to run it here, which has no job."""
    with pytest.raises(InvalidJob, match=r"call chat_task\.delay"):
        chat_task("energy", "s-1", "Hello")


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            'tools = ["nope.tool"]',
            "there is no module 'nope'; put its folder on the worker's PYTHON",
        ),
        ('tools = ["lacking.tool"]', "No module named 'numpyy'; install it where the worker runs"),
        ('tools = ["json.dumpz"]', "has no attribute 'dumpz'; correct its path in the profile"),
        ('tools = ["nope"]', "must be the dotted path of a function, such as"),
        ('system_promt = "x"', "is no key that can stand there; did you mean system_prompt?"),
    ],
)
def test_a_profile_that_cannot_be_used_says_what_to_do(
    profile: str, said: str, tmp_path: Path
) -> None:
    """Each in one line: a module that is missing, one that lacks another, a slip in a name."""
    (tmp_path / "lacking.py").write_text("import numpyy\n")
    (tmp_path / "p.toml").write_text(f"[agents.energy]\n{profile}\n")
    code = (
        "import sys; sys.path.insert(0, ''); from pathlib import Path\n"
        "from agents import AgentSettings, Profiles, Toolbox, InvalidProfiles\n"
        "settings = AgentSettings(profiles=Path('p.toml'))\n"
        "try:\n    Toolbox(Profiles.load(settings), settings)\n"
        "except InvalidProfiles as exc:\n    print(exc)\n"
    )
    told = run_python("-c", code, env=os.environ, cwd=tmp_path, timeout_s=scaled(40)).stdout
    assert said in told
    assert told.count("\n") == 1
