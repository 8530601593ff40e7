"""A fail-over under load where servers and Sentinels have passwords of their own, and the Sentinels
speak TLS, or the servers too: three Sentinels, a master that dies, a replica that takes over."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.resp import RespConnection
from sandbox.stack import GriotStack
from sandbox.valkey import HOST, ValkeyServer, valkey_binary
from tests.conftest import FAST
from tests.support.machine import SLOWNESS, scaled
from tests.support.servers.tls_rig import Authority, TlsDoor, tls_redis
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm

MASTER = "griot"
OF_SERVERS, OF_SENTINELS = "servers-secret", "sentinels-secret"
SENTINELS, SESSIONS, JOBS = 3, 10, 6
SESSION_IDS = [f"s{number}" for number in range(SESSIONS)]

CLIENT = """
import json, sys
from memory import get_redis_memory
from tasks import chat_task
jobs, slowness, sessions = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
sent = [
    chat_task.delay("energy", session, f"no. {number}", model="delay:300ms")
    for number in range(jobs) for session in sessions
]
print("sent", flush=True)
replies = [job.get(timeout=90 * slowness)["response"] for job in sent]
history = get_redis_memory().get_conversation_history
asked = [[m["content"] for m in history("energy", s) if m["role"] == "user"] for s in sessions]
chat_task.delay("energy", sessions[0], "and now?").get(timeout=30 * slowness)
print(json.dumps([all(replies), asked]))
"""

pytestmark = pytest.mark.slow


@dataclass
class Watched:
    """A master with a replica, and where TLS leads to each of their Sentinels."""

    master: ValkeyServer
    doors: list[int]
    authority: Authority
    is_all_tls: bool

    def settings(self) -> dict[str, str]:
        """What a deployment is told of it."""
        hosts = [f"localhost:{port}" for port in self.doors]
        login = f":{OF_SERVERS}@"
        address = [f"sentinel://{login}{host}" for host in hosts]
        trust = f"?ssl_ca_certs={self.authority.certificate}"
        of_servers = trust if self.is_all_tls else ""
        own = {} if self.is_all_tls else {"REDIS_SENTINEL_TLS": "true"}
        return {
            **own,
            "REDIS_MODE": "sentinel",
            "REDIS_URL": f"redis{'s' * self.is_all_tls}://{login}unused/0{trust}",
            "REDIS_SENTINELS": ",".join(hosts),
            "REDIS_SENTINEL_MASTER": MASTER,
            "REDIS_SENTINEL_PASSWORD": OF_SENTINELS,
            "REDIS_TIMEOUT": f"{scaled(2):.1f}",
            "CELERY_BROKER_URL": ";".join(f"{one}/1{of_servers}" for one in address),
            "CELERY_RESULT_BACKEND": ";".join(f"{one}/2{of_servers}" for one in address),
        }


@pytest.fixture(params=[False, True], ids=["Sentinels", "all"])
def watched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """All of it, in step; with TLS at the Sentinels' doors, or in servers that speak it."""
    authority = Authority(tmp_path, "trusted").create()
    context = authority.issue("localhost", names=f"DNS:localhost,IP:{HOST}")
    if not request.param:
        with ExitStack() as running:
            master, ports = _started(running, tmp_path, valkey_binary(), {})
            doors = [running.enter_context(TlsDoor(port, context)).port for port, _ in ports]
            yield Watched(master, doors, authority, is_all_tls=False)
        return
    binary = tls_redis()
    if binary is None:
        pytest.skip("no redis-server with TLS on the PATH (Debian: redis-server)")
    tls = {
        "tls-replication": "yes",
        "tls-auth-clients": "no",
        "tls-cert-file": f"{tmp_path}/localhost.pem",
        "tls-key-file": f"{tmp_path}/localhost.key",
        "tls-ca-cert-file": str(authority.certificate),
    }
    with ExitStack() as running:
        master, ports = _started(running, tmp_path, binary, tls)
        yield Watched(master, [port for _, port in ports], authority, is_all_tls=True)


def _started(
    running: ExitStack, directory: Path, binary: Path, tls: dict[str, str]
) -> tuple[ValkeyServer, list[tuple[int, int]]]:
    """A master with a replica, and three Sentinels, each with its plain port and that by which it
    watches: with TLS where `tls` says how."""
    logins = {"requirepass": OF_SERVERS, "masterauth": OF_SERVERS}

    def server(**of: str) -> tuple[ValkeyServer, int]:
        port = free_port()
        watched_port = free_port() if tls else port
        own = {**tls, "tls-port": str(watched_port)} if tls else {}
        options = {**logins, **own, **of}
        made = ValkeyServer(port, password=OF_SERVERS, options=options, binary=binary)
        return running.enter_context(made), watched_port

    master, port = server()
    replica, _ = server(replicaof=f"{HOST} {port}")
    wait_until(
        lambda: "master_link_status:up" in str(replica.command("INFO", "replication")),
        what="the replica is in step",
    )
    made = (_sentinel(directory, number, port, binary, tls) for number in range(SENTINELS))
    ports = []
    for process, plain, watching in made:
        running.enter_context(process)
        process.wait_ready(lambda one=plain: _info(one) != "", 20.0)  # type: ignore[misc]  # bound now
        ports.append((plain, watching))
    for one, _ in ports:
        wait_until(lambda one=one: _knows_all(one), timeout_s=scaled(30), what="Sentinels")  # type: ignore[misc]  # bound now
    return master, ports


def _sentinel(
    directory: Path, number: int, master_port: int, binary: Path, tls: dict[str, str]
) -> tuple[ServerProcess, int, int]:
    port, conf = free_port(), directory / f"sentinel{number}.conf"
    watching = free_port() if tls else port
    own = {**tls, "tls-port": str(watching)} if tls else {}
    conf.write_text(
        "".join(f"{name} {value}\n" for name, value in own.items())
        + f"bind {HOST}\nport {port}\ndir {directory}\nrequirepass {OF_SENTINELS}\n"
        f"sentinel sentinel-pass {OF_SENTINELS}\n"
        f"sentinel monitor {MASTER} {HOST} {master_port} 2\n"
        f"sentinel auth-pass {MASTER} {OF_SERVERS}\n"
        f"sentinel down-after-milliseconds {MASTER} 500\n"
        f"sentinel failover-timeout {MASTER} 5000\n"
    )
    command = (binary, conf, "--sentinel")
    process = ServerProcess(command, log_path=directory / f"sentinel{number}.log")
    return process, port, watching


def _info(port: int) -> str:
    try:
        with RespConnection(port, password=OF_SENTINELS) as connection:
            return str(connection.command("INFO", "sentinel"))
    except OSError:
        return ""


def _knows_all(port: int) -> bool:
    return f"slaves=1,sentinels={SENTINELS}" in _info(port)


def test_all_go_on_after_a_fail_over_behind_passwords_and_tls(
    watched: Watched, tmp_path: Path
) -> None:
    """Every job is answered, in order, and its turn recorded once; nothing shows a password."""
    with (
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path,
            redis_url="",
            ollama_url=ollama.url,
            settings={**FAST, **watched.settings()},
            starter=warm,
        ) as stack,
    ):
        worker = stack.worker()
        with subprocess.Popen(
            (sys.executable, "-c", CLIENT, str(JOBS), str(SLOWNESS), *SESSION_IDS),
            env=stack.env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "sent\n", worker.log_tail()
            wait_until(lambda: ollama.stats.requests > SESSIONS, what="the second turns run")
            watched.master.kill()
            shown, errors = client.communicate(timeout=scaled(110))
        log = worker.log_text()
    assert client.returncode == 0, errors[-3000:] + log[-3000:]
    are_answered, asked = json.loads(shown)
    assert are_answered
    assert asked == [[f"no. {number}" for number in range(JOBS)]] * SESSIONS
    assert OF_SERVERS not in log
    assert OF_SENTINELS not in log


@pytest.mark.parametrize("watched", [False], ids=["Sentinels"], indirect=True)
def test_a_wrong_password_of_the_sentinels_is_named(watched: Watched, tmp_path: Path) -> None:
    """By `griot check`, which shows neither."""
    settings = {**watched.settings(), "REDIS_SENTINEL_PASSWORD": "wrong-secret"}
    stack = GriotStack(
        tmp_path,
        redis_url="",
        ollama_url="http://127.0.0.1:1",
        settings={**FAST, **settings},
        starter=warm,
    )
    done = run_python(
        "-m", "worker.cli", "check", env=stack.env, cwd=tmp_path, timeout_s=scaled(90)
    )
    assert done.returncode == 1
    assert "REDIS_SENTINEL_PASSWORD" in done.stdout, done.stdout
    assert not any(one in done.stdout + done.stderr for one in ("wrong-secret", OF_SERVERS))
