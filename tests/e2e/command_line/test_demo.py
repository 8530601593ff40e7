"""`griot demo` and `griot up --sandbox` as a user on a fresh machine runs them."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from sandbox.ports import free_port
from sandbox.resp import RespConnection
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until

MARK = "GRIOT_TEST_MARK"
GRIOT = (sys.executable, "-m", "worker.cli")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A fresh machine's environment; at the end none of what ran in it is left."""
    mark = uuid.uuid4().hex
    # A try is the administrator's, whoever the tests are.
    ours = ("REDIS_", "SANDBOX_", *FAST)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Not 11434: the developer may have an Ollama.
    yield {**plain, MARK: mark, "OLLAMA_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    wait_until(lambda: not _left(mark), timeout_s=5, what="the end of every process")


def test_the_demo_shows_a_conversation_from_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 0; replies, histories, statistics; nothing is left running or lying about."""
    ended = subprocess.run(
        (*GRIOT, "demo"),
        env={**environment, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=scaled(100),
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "\x1b" not in ended.stdout
    assert "a stand-in makes up the replies" in ended.stdout
    for speaker in ("energy", "agriculture", "supervisor"):
        assert re.search(rf"^{speaker} +│ You said: “", ended.stdout, re.MULTILINE)
        assert re.search(rf"^{speaker} +└ \d+ tokens", ended.stdout, re.MULTILINE)
        assert f"> LRANGE ecowas:history:{speaker}:" in ended.stdout
    assert re.search(r'^6\) \{"role":"assistant","content":"You said', ended.stdout, re.MULTILINE)
    assert "I remember 2 earlier turns" in ended.stdout
    assert re.search(r"^sessions +3$", ended.stdout, re.MULTILINE)
    assert re.search(r"^20\d\d-\S+Z +\S+ +\d+ +3 +3 ", ended.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_in_a_redis_of_ones_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """In mid-conversation: exit code 130, no traceback, no process, no key but the user's."""
    with ValkeyServer() as valkey:
        valkey.command("SET", "mine", "1")
        output = tmp_path / "output"
        with output.open("w") as out:
            demo = subprocess.Popen(
                (*GRIOT, "demo"),
                env={**environment, "REDIS_URL": valkey.url()},
                cwd=tmp_path,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "│ You said" in output.read_text(), timeout_s=60, what="the first words")
        assert any(b"griot-demo-" in name for name in _keys(valkey, 0))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(scaled(40)) == 130
        assert [_keys(valkey, db) for db in (0, 1, 2)] == [[b"mine"], [], []]
    assert "Traceback" not in output.read_text()


def test_the_demo_ends_quietly_when_its_reader_has_left(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """As with `griot demo | head`: no traceback, and no process is left."""
    demo = subprocess.Popen(
        (*GRIOT, "demo"),
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    assert any("│ You said" in line for line in demo.stdout)
    demo.stdout.close()
    _, said = demo.communicate(timeout=40)
    assert (demo.returncode, said) == (1, "")


def test_the_demo_says_when_a_redis_of_ones_own_does_not_answer(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Rather than pass over what the user has set."""
    url = f"redis://:geheim@127.0.0.1:{free_port()}/0"
    ended = subprocess.run(
        (*GRIOT, "demo"),
        env={**environment, "REDIS_URL": url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr
    assert "geheim" not in ended.stdout + ended.stderr


def test_up_with_sandbox_needs_nothing_else(environment: dict[str, str], tmp_path: Path) -> None:
    """All four processes run, a chat is answered, Ctrl-C stops them with 0, the data is kept."""
    settings = {
        **environment,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "FLOWER_PORT": str(free_port()),
        "LOG_FILE": "",
    }
    output = tmp_path / "output"
    with output.open("w") as out:
        up = subprocess.Popen(
            (*GRIOT, "up", "--sandbox"),
            env=settings,
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        for sign in ("beat: Starting", "Visit me at", "maintenance@", " ready."):
            wait_until(lambda sign=sign: sign in output.read_text(), timeout_s=60, what=sign)
        assert _chat(settings, tmp_path, "Hello").startswith("You said: “Hello”.")
    finally:
        up.send_signal(signal.SIGINT)
        status = up.wait(scaled(40))
    assert status == 0, output.read_text()
    (data,) = (tmp_path / ".griot").glob("valkey-*")
    assert any(data.rglob("*.aof")), "the data of a port are kept"


@pytest.mark.parametrize("ending", ["reader left", "terminal closed"])
def test_up_stops_everything_when_nobody_reads_it_any_more(
    environment: dict[str, str], tmp_path: Path, ending: str
) -> None:
    """As after `griot up | tee log` and Ctrl-C, or with its terminal closed: no process is left."""
    settings = {
        **environment,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "FLOWER_PORT": str(free_port()),
        "LOG_FILE": "",
    }
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


def test_up_that_is_stopped_while_it_starts_leaves_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Ctrl-C at the line of the first process, before the others have told their pids."""
    settings = {**environment, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "LOG_FILE": ""}
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
    """As in the image: an Ollama that does not answer is a remark, honcho is needed."""
    bare = (
        "import sys; sys.modules |= {'sandbox': None, 'honcho': None}; sys.argv = ['griot', 'up']; "
        "from worker.cli import main; main()"
    )
    with ValkeyServer() as valkey:
        ended = subprocess.run(
            (sys.executable, "-c", bare),
            env={**environment, "REDIS_URL": valkey.url()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.stderr == "griot: `griot up` needs honcho: pip install 'griot[sandbox]'\n"
    assert ended.stdout.startswith("Ollama: no Ollama answers at ")
    assert ended.returncode == 1


def _chat(settings: Mapping[str, str], directory: Path, message: str) -> str:
    return subprocess.run(
        (*GRIOT, "chat", "energy", "up-1"),
        env=settings,
        cwd=directory,
        input=message,
        capture_output=True,
        text=True,
        timeout=scaled(50),
        check=True,
    ).stdout


def _keys(valkey: ValkeyServer, db: int) -> list[bytes]:
    with RespConnection(valkey.port) as connection:
        connection.command("SELECT", db)
        found = connection.command("KEYS", "*")
    assert isinstance(found, list)
    return sorted(str(name).encode() for name in found)


def _left(mark: str) -> list[str]:
    """The processes that bear the mark, but for the dead that nobody has buried."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                left.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return left
