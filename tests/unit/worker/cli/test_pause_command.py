"""What `griot pause` and `griot resume` say of a name, without any server."""

import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from memory.pauses.pauses import Pause, PauseKind, PauseTarget
from worker.cli import main
from worker.model_servers import ModelServer

MODULE = sys.modules["worker.cli.operate.pause"]
HAS, LACKS = ModelServer("http://a", installed=("tiny:latest",)), ModelServer("http://b")
SILENT = ModelServer("http://c", trouble="it does not answer")


def paused(
    monkeypatch: pytest.MonkeyPatch, model: str, *servers: ModelServer, json: bool = False
) -> Result:
    """The end of the command where the servers say that."""
    made = Pause(PauseTarget(PauseKind.MODEL, model), 0, None, "")
    settings = SimpleNamespace(settings=SimpleNamespace(llm=None))
    monkeypatch.setattr(MODULE, "producer_services", lambda: settings)
    monkeypatch.setattr(MODULE, "model_servers", lambda _: servers)
    monkeypatch.setattr(MODULE.pauses, "pause", lambda *_, **__: made)
    return CliRunner().invoke(main, ["pause", "model", model, *(["--json"] if json else [])])


@pytest.mark.parametrize("json", [False, True])
def test_a_pause_of_a_model_that_no_server_lists_is_made_and_says_so(
    monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    """Most often the name is wrong, and what was to wait goes on."""
    ended = paused(monkeypatch, "tyni", LACKS, HAS, json=json)
    assert ended.exit_code == 0
    assert "model tyni" in ended.stdout
    assert ended.stderr == "griot: no server lists the model 'tyni': is the name right?\n"


@pytest.mark.parametrize(
    ("model", "servers"),
    [("Tiny", (LACKS, HAS)), ("tyni", (LACKS, SILENT)), ("huge:cloud", (LACKS,))],
)
def test_nothing_is_said_of_a_model_that_a_server_has_or_may_have(
    monkeypatch: pytest.MonkeyPatch, model: str, servers: tuple[ModelServer, ...]
) -> None:
    """Names are compared as Ollama does; a server that does not answer may have it."""
    assert paused(monkeypatch, model, *servers).stderr == ""


@pytest.mark.parametrize("word", ["pause", "resume"])
@pytest.mark.parametrize(
    ("rest", "says"),
    [
        (("agent",), "the name of the agent is missing"),
        (("model",), "the name of the model is missing"),
        (("server",), "the address of the server is missing"),
        (("all", "energy"), "all takes no name"),
    ],
)
def test_a_name_that_is_missing_or_too_many_is_told(
    word: str, rest: tuple[str, ...], says: str
) -> None:
    """Before anything is asked."""
    ended = CliRunner().invoke(main, [word, *rest])
    assert ended.exit_code == 2
    assert says in ended.stderr
