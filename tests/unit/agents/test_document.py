"""docs/agents.md: what it shows can be used as it shows it."""

import re
import sys
import types
from pathlib import Path

import pytest

from agents import AgentSettings, Profiles, Toolbox, ToolContext
from tasks.job.job import ChatJob

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "agents.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of the document."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def summit_tools(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module of tools that it shows."""
    module = types.ModuleType("summit_tools")
    monkeypatch.setitem(sys.modules, "summit_tools", module)
    (code,) = (block for block in blocks("python") if "ToolContext" in block)
    exec(compile(code, "summit_tools", "exec"), module.__dict__)  # noqa: S102  # the document's own
    return module


async def test_its_tools_are_tools(summit_tools: types.ModuleType, tmp_path: Path) -> None:
    """Under its profiles, with its arguments; booking twice for one job books once."""
    (text,) = (block for block in blocks("toml") if "tools" in block)
    path = tmp_path / "profiles.toml"
    path.write_text(text, "utf-8")
    settings = AgentSettings(profiles=path)
    profiles = Profiles.load(settings)
    box = Toolbox(profiles, settings)
    capacity, book = box.of(profiles.of("energy"))
    context = ToolContext("energy", "s", "job-1", attempt=1)
    told = await capacity.call({"country": "GH", "source": "solar"}, context)
    assert told.content == '{"country":"GH","source":"solar","mw":170}'
    told = await capacity.call({"country": "FR"}, context)
    assert told.content == "error: nothing is known of FR"
    for seats in (2, 3):
        told = await book.call({"seats": seats}, context)
        assert told.content == "booked 2 seats"


def test_its_profiles_are_profiles(tmp_path: Path) -> None:
    """Each block by itself."""
    for number, text in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, "utf-8")
        assert "energy" in Profiles.load(AgentSettings(profiles=path)).by_id


def test_its_schema_is_taken() -> None:
    """As an option of a job."""
    (code,) = (block for block in blocks("python") if "schema" in block)
    found = re.search(r"schema = (\{.*?\n\})\n", code, re.DOTALL)
    assert found is not None
    schema = eval(found.group(1))  # noqa: S307  # the document's own
    least = {"agent_id": "energy", "session_id": "s", "message": "What is this?"}
    ChatJob.checked({**least, "format": schema}, max_message_bytes=100)
