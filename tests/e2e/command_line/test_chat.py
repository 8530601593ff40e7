"""`griot chat` on a terminal and through a pipe, against real servers and a worker."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from tests.support.machine import scaled
from tests.support.on_terminal.terminal import CTRL_C, CTRL_D, ENTER, Terminal
from tests.support.waiting import wait_until
from worker.cli import main
from worker.cli.next_steps import program

PACE = "slow-tokens:100x20ms"
PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> None:
    """A worker, at the servers that this process knows."""
    stack.worker(CHAT_RETRY_BASE_SECONDS="0.1")


def griot(*arguments: str, said: str = "") -> Result:
    """A command in this process, in a pipe, with `said` on its standard input."""
    return CliRunner().invoke(main, arguments, input=said)


def on_terminal(stack: GriotStack, *arguments: str) -> Terminal:
    """`griot chat` on a terminal."""
    return Terminal("chat", *arguments, env=stack.env, directory=stack.directory)


def history(agent: str, session: str) -> list[str]:
    """What is committed."""
    messages = get_redis_memory().get_conversation_history(agent, session)
    return [str(one["content"]) for one in messages]


def test_what_is_typed_during_a_reply_is_kept_apart(stack: GriotStack) -> None:
    """It stays at the prompt, is sent by Enter, and is shown where its turn begins. Ctrl-C cancels
    the reply that comes and keeps what is typed; Ctrl-D leaves, the terminal as it was."""
    with on_terminal(stack, "energy", "apart", "--model", PACE) as terminal:
        terminal.expect_last("you>")
        terminal.type(f"First question{ENTER}")
        terminal.expect("energy> You said: “First question”.")
        terminal.type(f"Second question{ENTER}")
        terminal.expect("next: Second question")
        terminal.type("Third, not sent")
        terminal.expect_last("you> Third, not sent")
        terminal.type(CTRL_C)
        terminal.expect("energy> You said: “Second question”.")
        terminal.type(CTRL_C)
        wait_until(lambda: terminal.seen().count("(cancelled)") == 2, what="both cancelled")
        terminal.expect_last("you> Third, not sent")
        lines = terminal.seen().splitlines()
        assert all(len(line) <= 80 for line in lines)
        assert [line for line in lines if line.startswith("you>")] == [
            "you> First question",
            "you> Second question",
            "you> Third, not sent",
        ]
        terminal.type(CTRL_C)  # takes back what was typed
        terminal.expect_last("you>")
        terminal.type(CTRL_D)
        assert terminal.exit_code() == 0
        assert terminal.is_restored()
    assert history("energy", "apart")[::2] == ["First question", "Second question"]


def test_a_cancelled_turn_is_marked_when_it_is_shown_again(stack: GriotStack) -> None:
    """With what was said of it; inputs of before can be fetched back. At the empty prompt Ctrl-C
    leaves with 130, the terminal as it was."""
    get_redis_memory().save_conversation_history(
        "energy",
        "marked",
        [
            {"role": "user", "content": "Hello", "job_id": "1", "cancelled": True},
            {"role": "assistant", "content": "Good m", "job_id": "1", "cancelled": True},
        ],
    )
    with on_terminal(stack, "energy", "marked") as terminal:
        terminal.expect("you> Hello\nenergy> Good m\n(cancelled)\n")
        terminal.expect_last("you>")
        terminal.type("\x1b[A")
        terminal.expect_last("you> Hello")
        terminal.type(CTRL_C)
        terminal.expect_last("you>")
        terminal.type(CTRL_C)
        assert terminal.exit_code() == 130
        assert terminal.is_restored()


def test_a_pasted_block_is_one_message_and_commands_are_carried_out(
    stack: GriotStack, tmp_path: Path
) -> None:
    """Also where a line of it looks like a command; SIGTERM leaves the terminal as it was."""
    image = tmp_path / "pixel.png"
    image.write_bytes(PIXEL)
    file = tmp_path / "talk.md"
    with on_terminal(stack, "enrgy", "pasted") as terminal:
        terminal.expect("agent enrgy has no profile")
        terminal.expect("Did you mean")
        terminal.type(f"/agent energy{ENTER}")
        terminal.expect("(agent energy, session pasted)")
        terminal.paste("one\n/help\nthree")
        terminal.expect_last("three")
        terminal.type(ENTER)
        terminal.expect("This is our first turn.")
        terminal.type("/expo")
        terminal.expect("write the session")
        terminal.type("\t")
        terminal.expect("you> /export")
        terminal.type(f" {file}{ENTER}")
        terminal.expect("(written to")
        terminal.type(f"/image {image}{ENTER}")
        terminal.expect_last("you (1 image)>")
        terminal.type(f"/nothing{ENTER}")
        terminal.expect("There is no /nothing.")
        terminal.send_signal(signal.SIGTERM)
        assert terminal.exit_code() == 143
        assert terminal.is_restored()
    assert history("energy", "pasted")[0] == "one\n/help\nthree"
    assert file.read_text().startswith("# energy, session pasted\n\n**You:** one\n/help\nthree\n")


def test_a_model_that_is_being_loaded_is_seen(stack: GriotStack) -> None:
    """The spinner says so, and for how long; it is gone when the reply is there."""
    model = f"instant:load{scaled(6):.0f}s"
    with on_terminal(stack, "energy", "cold", "--model", model) as terminal:
        terminal.expect_last("you>")
        terminal.type(f"Hello{ENTER}")
        terminal.expect(f"{model} is being loaded · ")
        terminal.expect("This is our first turn.")
        terminal.expect_last("you>")
        terminal.expect_gone("Ctrl-C cancels\n")
        terminal.type(f"/quit{ENTER}")
        assert terminal.exit_code() == 0


def test_json_has_each_event_on_a_line() -> None:
    """For scripts: nothing else stands on standard output, and a dead letter fails the command."""
    talked = griot("chat", "energy", "json", "--json", "--model", "ok", said="Hello\n")
    assert talked.exit_code == 0, talked.output
    events = [json.loads(line) for line in talked.stdout.splitlines()]
    assert [one["type"] for one in events][:2] == ["queued", "started"], events
    assert events[-1]["type"] == "done"
    assert events[-1]["text"] == "".join(one["text"] for one in events if one["type"] == "token")
    refused = griot("chat", "energy", "json", "--json", "--model", "no such!", said="Hello\n")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["type"] == "not_sent"


def test_a_dead_letter_is_said_with_its_way_back() -> None:
    """The command that is told sends it again."""
    talked = griot("chat", "energy", "dead", "--model", "missing", said="Hello\n")
    assert talked.exit_code == 1
    _, way = talked.stderr.splitlines()
    assert way.startswith(
        f"It is a dead letter. Send it again with: {program()} dead-letters requeue "
    )
    again = griot(*way.partition(f": {program()} ")[2].split())
    assert (again.exit_code, again.stderr) == (0, "")


def test_a_failed_attempt_and_an_unknown_agent_are_told_in_a_pipe(ollama: OllamaStandIn) -> None:
    """Once each, to standard error; no character of what is printed steers a terminal."""
    ollama.script("*", ["cut", "ok"])
    talked = griot("chat", "enrgy", "again", said="Hello\n\nAgain\n")
    assert talked.exit_code == 0, talked.output
    assert talked.stderr.count("agent enrgy has no profile") == 1
    assert "(attempt 1 of 5 failed: " in talked.stderr
    assert "(attempt 2 of 5; the reply begins again)" in talked.stderr
    assert "\x1b" not in talked.output
