"""The `griot` command while it is loading, before any of it can handle Ctrl-C itself."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.machine import scaled

TIMEOUT_S = scaled(20)


@pytest.fixture
def loading() -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Starts the command after a line of code; it has loaded Celery, and not yet all the rest."""
    started: list[subprocess.Popen[str]] = []

    def load(before: str) -> "subprocess.Popen[str]":
        code = f"import signal, griot; {before}; griot.main()"
        command = (sys.executable, "-X", "importtime", "-c", code, "--version")
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        assert process.stderr is not None
        assert any(line.split("|")[-1].strip() == "celery" for line in process.stderr)
        return process

    yield load
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it_without_a_traceback(
    loading: Callable[[str], "subprocess.Popen[str]"],
) -> None:
    """As a shell expects of a command that has no answer to it: by the signal itself."""
    griot = loading("pass")
    griot.send_signal(signal.SIGINT)
    _, said = griot.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in said
    assert griot.returncode == -signal.SIGINT


@pytest.mark.slow
def test_ctrl_c_that_is_meant_for_others_does_not_end_it(
    loading: Callable[[str], "subprocess.Popen[str]"],
) -> None:
    """A shell has its jobs in the background ignore it."""
    griot = loading("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    griot.send_signal(signal.SIGINT)
    answered, _ = griot.communicate(timeout=TIMEOUT_S)
    assert answered.startswith("griot")
    assert griot.returncode == 0
