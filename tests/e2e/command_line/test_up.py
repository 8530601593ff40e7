"""`griot up` as a user on a fresh machine runs it: the sandbox, what it says, how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from redis import Redis

from sandbox.ports import free_port
from sandbox.valkey import ValkeyServer
from tests.support.fresh_machine import GRIOT, WARM_GRIOT, environment
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm

__all__ = ["environment"]

pytestmark = pytest.mark.timeout(240)


def test_up_with_sandbox_needs_nothing_else(environment: dict[str, str], tmp_path: Path) -> None:
    """It says when all are ready, and where; a chat is answered, Ctrl-C stops them with 0, the data
    is kept; no banner and nothing of what beat does every second is to be read."""
    flower_port = free_port()
    (tmp_path / ".env").write_text(f"FLOWER_PORT={flower_port}\nFLOWER_BASIC_AUTH=\n")
    settings = {
        **environment,
        "REDIS_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "LOG_FILE": "",
        "CHAT_SWEEP_SECONDS": "0.5",
        "MEMORY_STATS_EVERY": "0.5",
        "OLLAMA_MODLE": "x",
    }
    output = tmp_path / "output"
    with output.open("w") as out:
        up = warm((*GRIOT, "up", "--sandbox"), out.fileno(), tmp_path, settings)
    try:
        wait_until(lambda: "\nReady\n" in output.read_text(), timeout_s=60, what="all are ready")
        assert _chat(settings, tmp_path, "Hello").startswith("You said: “Hello”.")
        address = f"http://127.0.0.1:{settings['GATEWAY_PORT']}"
        answer = httpx.get(f"{address}/readyz", trust_env=False)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        flower = f"http://127.0.0.1:{flower_port}"
        assert httpx.get(f"{flower}/healthcheck", trust_env=False).status_code == 200
        taken = {"FLOWER_PORT": flower_port, "GATEWAY_PORT": settings["GATEWAY_PORT"]}
        with ValkeyServer() as other:
            elsewhere = {**settings, "REDIS_URL": other.url()}
            for name, variable in (("Flower", "FLOWER_PORT"), ("the gateway", "GATEWAY_PORT")):
                assert _status_of_up(elsewhere, tmp_path) == (
                    f"griot: {name} cannot listen on 127.0.0.1, port {taken[variable]} "
                    f"(Address already in use); stop what listens there, or set {variable} to a "
                    "free port"
                )
                elsewhere[variable] = str(free_port())
    finally:
        up.send_signal(signal.SIGINT)
        status = up.wait(scaled(40))
    said = output.read_text()
    assert status == 0, said
    assert f"Redis   127.0.0.1:{settings['REDIS_PORT']}, an embedded Valkey" in said
    assert f"Flower  {flower}\n" in said
    assert f"Gateway {address}, for OpenAI's clients\n" in said
    assert f"Chat    {address}/chat, in a browser\n" in said
    assert "Next    in another terminal: griot chat" in said
    assert said.count("did you mean OLLAMA_MODEL?") == 5  # the command's own, and each process'
    for noise in ("[config]", "[tasks]", "beat sent", "tasks.sweep[", "memory statistics"):
        assert noise not in said
    (data,) = (tmp_path / ".griot").glob("valkey-*")
    assert any(data.rglob("*.aof")), "the data of a port are kept"


def test_up_says_last_which_process_ended_and_why(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Also where the others have more to say."""
    with ValkeyServer() as valkey:
        settings = {
            **environment,
            "REDIS_URL": valkey.url(),
            "FLOWER_PORT": str(free_port()),
            "GATEWAY_PORT": "0",
            "FLOWER_BASIC_AUTH": "no-password",
        }
        last = _status_of_up(settings, tmp_path)
    assert last == (
        "griot: all processes were stopped, because flower ended with status 78: "
        "FLOWER_BASIC_AUTH: must be user:password, in ASCII"
    )


@pytest.mark.slow
def test_up_ends_with_the_server_that_it_has_started(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Nothing works without it, and nobody else would start it again."""
    settings = {
        **environment,
        "REDIS_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
    }
    output = tmp_path / "output"
    with output.open("w") as out:
        up = subprocess.Popen(
            (*GRIOT, "up", "--sandbox"), env=settings, cwd=tmp_path, stdout=out, stderr=out
        )
    wait_until(lambda: "\nReady\n" in output.read_text(), timeout_s=60, what="all are ready")
    with Redis(port=int(settings["REDIS_PORT"])) as valkey:
        os.kill(int(valkey.info("server")["process_id"]), signal.SIGKILL)
    assert up.wait(scaled(60)) == 1
    last = output.read_text().splitlines()[-1]
    assert last.startswith("griot: all processes were stopped, because valkey")
    assert "ended with status -9: see " in last


@pytest.mark.parametrize(
    "given",
    [
        "REDIS_URL",
        pytest.param("REDIS_DB", marks=pytest.mark.slow),
        pytest.param("CELERY_BROKER_URL", marks=pytest.mark.slow),
    ],
)
def test_up_starts_no_sandbox_where_a_setting_says_where_redis_is(
    environment: dict[str, str], tmp_path: Path, given: str
) -> None:
    """As `make up` runs it: the one line of a Redis that cannot be reached."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    settings = {
        **environment,
        "REDIS_PORT": str(free_port()),
        given: "1" if given == "REDIS_DB" else url,
    }
    ports = {"FLOWER_PORT": str(free_port()), "GATEWAY_PORT": "0"}
    last = _status_of_up({**settings, **ports}, tmp_path, "--or-sandbox")
    assert "cannot be reached" in last
    assert not (tmp_path / ".griot").exists()


def _on_free_ports(environment: dict[str, str]) -> dict[str, str]:
    return {
        **environment,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": "0",
        "LOG_FILE": "",
    }


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["reader left", "terminal closed"])
def test_up_stops_everything_when_nobody_reads_it_any_more(
    environment: dict[str, str], tmp_path: Path, ending: str
) -> None:
    """As after `griot up | tee log` and Ctrl-C, or with its terminal closed: no process is left."""
    settings = _on_free_ports(environment)
    up = subprocess.Popen(
        (*GRIOT, "up", "--sandbox"),
        env=settings,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert up.stdout is not None
        assert any("beat: Starting" in line for line in up.stdout)
        up.stdout.close()
        if ending == "terminal closed":
            os.killpg(up.pid, signal.SIGHUP)
        assert up.wait(scaled(40)) == 0
    finally:
        up.kill()


@pytest.mark.slow
def test_up_that_is_stopped_while_it_starts_leaves_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Ctrl-C at the line of the first process, before the others have told their pids."""
    settings = _on_free_ports(environment)
    up = subprocess.Popen(
        (*GRIOT, "up", "--sandbox"),
        env=settings,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert up.stdout is not None
        assert any(" started (pid=" in line for line in up.stdout)
        os.killpg(up.pid, signal.SIGINT)
        rest = up.stdout.read()
        up.stdout.close()
        assert up.wait(scaled(40)) == 0
        assert "Traceback" not in rest
    finally:
        up.kill()


def test_up_where_the_sandbox_is_not_installed_says_what_is_missing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """As in the image: honcho is needed."""
    bare = (
        "import sys; sys.modules |= {'sandbox': None, 'honcho': None}; sys.argv = ['griot', 'up']; "
        "from worker.cli import main; main()"
    )
    with ValkeyServer() as valkey:
        env = {**environment, "REDIS_URL": valkey.url()}
        ended = run_python("-c", bare, env=env, cwd=tmp_path, timeout_s=scaled(60))
    assert ended.stderr == "griot: `griot up` needs honcho: pip install './griot[sandbox]'\n"
    assert ended.returncode == 1


@pytest.mark.slow
def test_up_leaves_the_gateway_out_where_its_extra_is_not_installed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The rest needs none of it: another process that fails is named, not the gateway's port."""
    bare = (
        "import sys, worker.extras as e; e.HAS_GATEWAY = False; sys.argv = ['griot', 'up']; "
        "from worker.cli import main; main()"
    )
    with ValkeyServer() as valkey, socket.create_server(("127.0.0.1", 0)) as taken:
        ended = subprocess.run(
            (sys.executable, "-c", bare),
            env={
                **environment,
                "REDIS_URL": valkey.url(),
                "FLOWER_PORT": str(free_port()),
                "FLOWER_BASIC_AUTH": "no-password",
                "GATEWAY_PORT": str(taken.getsockname()[1]),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=scaled(60),
            check=False,
        )
    assert "because flower ended with status 78" in ended.stderr
    assert "gateway" not in ended.stdout


def _status_of_up(settings: Mapping[str, str], directory: Path, *options: str) -> str:
    """The last line of a `griot up` that fails."""
    up = (*WARM_GRIOT, "up", *options)
    ended = run_python(*up, env=settings, cwd=directory, timeout_s=scaled(60))
    assert ended.returncode == 1, ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


def _chat(settings: Mapping[str, str], directory: Path, message: str) -> str:
    chat = (*WARM_GRIOT, "chat", "energy", "up-1")
    ended = run_python(*chat, env=settings, cwd=directory, timeout_s=scaled(20), said=message)
    ended.check_returncode()
    return ended.stdout
