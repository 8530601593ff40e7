"""`griot demo` as a user on a fresh machine runs it."""

import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.ports import free_port
from sandbox.resp import RespConnection
from sandbox.valkey import ValkeyServer
from tests.support.fresh_machine import GRIOT, WARM_GRIOT, environment
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python

ROOT = Path(__file__).resolve().parents[3]

__all__ = ["environment"]

pytestmark = pytest.mark.timeout(240)


def test_the_demo_shows_a_conversation_from_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 0, what README shows, the data kept and the next commands; nothing is left
    running, or lying about elsewhere."""
    env = {**environment, "TMPDIR": str(tmp_path)}
    ended = run_python(*WARM_GRIOT, "demo", env=env, cwd=tmp_path, timeout_s=scaled(100))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "\x1b" not in ended.stdout
    for speaker in ("energy", "agriculture", "supervisor"):
        assert re.search(rf"^{speaker} +│ You said: “", ended.stdout, re.MULTILINE)
        assert re.search(rf"^{speaker} +└ \d+ tokens", ended.stdout, re.MULTILINE)
    assert "I remember 2 earlier" in ended.stdout
    assert ended.stdout.count("> LRANGE") == 1
    printed = [_without_figures(line) for line in ended.stdout.splitlines()]
    assert [line for line in _sample() if _without_figures(line) not in printed] == []
    assert [path.name for path in tmp_path.iterdir()] == [".griot"]
    (data,) = (tmp_path / ".griot").iterdir()
    assert any(data.rglob("*.aof")), "what was said is kept"


@pytest.mark.slow
def test_the_demo_shows_everything_when_asked(environment: dict[str, str], tmp_path: Path) -> None:
    """All histories whole and the statistics; held again, in other sessions on the same data."""
    assert _demo(environment, tmp_path).returncode == 0
    ended = _demo(environment, tmp_path, "--verbose")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for speaker in ("energy", "agriculture", "supervisor"):
        assert f"> LRANGE ecowas:history:{speaker}:summit-" in ended.stdout
    assert "> LRANGE ecowas:history:energy:summit-energy-2 0 -1      (6 elements" in ended.stdout
    assert re.search(
        r'^6\) \{"role":"assistant","content":"You said.*\}$', ended.stdout, re.MULTILINE
    )
    assert re.search(r"^sessions +6$", ended.stdout, re.MULTILINE)
    assert re.search(r"^20\d\d-\S+Z +\S+ +\d+ +6 +\d+ ", ended.stdout, re.MULTILINE)


@pytest.mark.slow
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


@pytest.mark.slow
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
    env = {**environment, "REDIS_URL": url}
    ended = run_python(*WARM_GRIOT, "demo", env=env, cwd=tmp_path, timeout_s=scaled(60))
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr
    assert "geheim" not in ended.stdout + ended.stderr


def _demo(
    environment: Mapping[str, str], directory: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (*GRIOT, "demo", *options),
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=scaled(100),
        check=False,
    )


def _sample() -> list[str]:
    """What README shows of it, without what is left out."""
    text = (ROOT / "README.md").read_text("utf-8")
    _, _, sample = text.partition("```console\n$ make demo\n")
    lines = sample.partition("```")[0].splitlines()
    assert len(lines) > 20
    return [line for line in lines if line != "…"]


def _without_figures(line: str) -> str:
    """A line without what differs from run to run: ids, ports, times, where it is typed."""
    line = re.sub(r"^  (?:make|griot) .*?  +", "  COMMAND ", line)
    line = re.sub(r"http://[\w.:]+\d", "URL", line)
    line = re.sub(r'("job_id":").*', r"\1", line)
    line = re.sub(r"(, on that data|, on the Redis at .*)$", "", line)
    return re.sub(r"\d+", "0", line.partition(", waited")[0])


def _keys(valkey: ValkeyServer, db: int) -> list[bytes]:
    with RespConnection(valkey.port) as connection:
        connection.command("SELECT", db)
        found = connection.command("KEYS", "*")
    assert isinstance(found, list)
    return sorted(str(name).encode() for name in found)
