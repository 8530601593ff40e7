"""`griot top` on a terminal and in a pipe, against real servers and a worker."""

import signal

import pytest
from click.testing import CliRunner, Result

from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import chat_task
from tests.support.on_terminal.terminal import CTRL_C, Terminal
from tests.support.waiting import wait_until
from worker.cli import main

PACE = "slow-tokens:20000x20ms"
TAB, RIGHT, ESCAPE, ENTER = "\t", "\x1b[C", "\x1b", "\r"
HOSTILE = "red\x1b[31m\x07\u202eevil"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> None:
    """A worker with a turn that takes a minute, one behind it, and one of a strange session."""
    stack.worker()
    chat_task.delay("energy", "kwame", "hello", model=PACE)
    chat_task.delay("energy", "kwame", "and now", model=PACE)
    chat_task.delay("health", HOSTILE, "hello", model=PACE)


def on_terminal(stack: GriotStack, *arguments: str, **settings: str) -> Terminal:
    """`griot top` on a terminal."""
    env = {**stack.env, **settings}
    return Terminal("top", "--every", "0.5", *arguments, env=env, directory=stack.directory)


def griot(*arguments: str) -> Result:
    """A command in this process, in a pipe."""
    return CliRunner().invoke(main, arguments)


def test_it_shows_what_runs_and_obeys_keys(stack: GriotStack) -> None:
    """Turns with their speed, then what waits and why; a filter hides, Esc shows again. q leaves,
    with the terminal as it was and nothing left on it."""
    with on_terminal(stack) as terminal:
        terminal.expect("kwame")
        terminal.expect("2 of ")
        terminal.expect("AGE▼")
        assert "\x1b" not in terminal.seen()
        terminal.expect("red[31mevil")
        terminal.type(RIGHT)
        terminal.expect("TOKENS▼")
        terminal.type("/health")
        terminal.expect_gone("kwame")
        terminal.type(ESCAPE)
        terminal.expect("kwame")
        terminal.type(TAB)
        terminal.expect("behind")
        terminal.type("5")
        terminal.expect("CALLS▼")
        terminal.type("4")
        terminal.expect("worker@")
        terminal.type("q")
        assert terminal.exit_code() == 0
        assert terminal.is_restored()
        assert not terminal.seen().strip()


def test_ctrl_c_and_sigterm_leave_the_terminal_as_it_was(stack: GriotStack) -> None:
    """With the exit codes that a shell has for them."""
    with on_terminal(stack) as one, on_terminal(stack) as other:
        for terminal in (one, other):
            terminal.expect("turns")
        one.type(CTRL_C)
        other.send_signal(signal.SIGTERM)
        for terminal, code in ((one, 130), (other, 143)):
            assert terminal.exit_code() == code
            assert terminal.is_restored()
            assert not terminal.seen().strip()


def test_redis_may_be_away(stack: GriotStack, valkey: ValkeyServer) -> None:
    """It says so and since when, obeys keys meanwhile, and goes on by itself."""
    with on_terminal(stack, REDIS_TIMEOUT="1") as terminal:
        terminal.expect("kwame")
        valkey.freeze()
        try:
            terminal.expect("it goes on trying; what is shown is")
            assert "kwame" in terminal.seen()
            terminal.type(TAB)
            terminal.expect("behind")
        finally:
            valkey.thaw()
        terminal.expect_gone("it goes on trying")
        terminal.type("q")
        assert terminal.exit_code() == 0


def test_a_pipe_gets_one_table() -> None:
    """With --once; without it the command says what it needs, and ends with 2."""
    refused = griot("top")
    assert refused.exit_code == 2
    assert "--once" in refused.stderr
    shown: list[str] = []

    def is_shown() -> bool:
        printed = griot("top", "--once", "--filter", "kwame")
        assert printed.exit_code == 0, printed.output
        shown[:] = printed.stdout.splitlines()
        return len(shown) == 2

    wait_until(is_shown, what="the worker has reported")
    assert shown[0].startswith("agent\tsession\tjob\t")
    assert shown[1].startswith("energy\tkwame\t")
