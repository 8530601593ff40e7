"""Which functions are tools: those that the profiles name, and no others."""

from pathlib import Path

import pytest

from agents import AgentSettings, InvalidProfiles, Profiles, Toolbox, UnknownTool

HERE = "tests.support.tool_functions"


def toolbox(text: str, directory: Path) -> tuple[Toolbox, Profiles]:
    """The tools of a file of profiles."""
    path = directory / "profiles.toml"
    path.write_text(text, "utf-8")
    settings = AgentSettings(profiles=path)
    profiles = Profiles.load(settings)
    return Toolbox(profiles, settings), profiles


def names(found: tuple[Toolbox, Profiles], agent_id: str, wanted: list[str] | None) -> list[str]:
    """The tools of one agent."""
    box, profiles = found
    return [tool.name for tool in box.of(profiles.of(agent_id), wanted)]


def test_an_agent_has_the_tools_of_its_profile(tmp_path: Path) -> None:
    """An unknown agent those of the default profile; a table without tools has none."""
    found = toolbox(
        f"""
        [default]
        tools = ["{HERE}.capacity_of"]
        [agents.energy]
        tools = ["{HERE}.capacity_of", {{function = "{HERE}.book_seat", timeout_s = 5}}]
        [agents.agriculture]
        """,
        tmp_path,
    )
    assert names(found, "energy", None) == ["capacity_of", "book_seat"]
    assert names(found, "nobody", None) == ["capacity_of"]
    assert names(found, "agriculture", None) == []


def test_a_turn_may_want_fewer_and_never_others(tmp_path: Path) -> None:
    """By the function's name; one that the agent has not is refused."""
    found = toolbox(f'[agents.energy]\ntools = ["{HERE}.capacity_of"]', tmp_path)
    assert names(found, "energy", []) == []
    assert names(found, "energy", ["capacity_of", "capacity_of"]) == ["capacity_of"]
    for wanted in ("book_seat", f"{HERE}.capacity_of", "os.system"):
        with pytest.raises(UnknownTool, match="agent energy has no tool"):
            names(found, "energy", [wanted])


def test_nothing_is_imported_to_read_the_profiles(tmp_path: Path) -> None:
    """A producer reads them too, and need not have the worker's modules."""
    path = tmp_path / "profiles.toml"
    path.write_text('[agents.energy]\ntools = ["nowhere.at_all"]', "utf-8")
    profiles = Profiles.load(AgentSettings(profiles=path))
    assert [spec.function for spec in profiles.of("energy").tools] == ["nowhere.at_all"]


WRONG = {
    "no such module": ('["nowhere.at_all"]', "no module 'nowhere'; put its folder on the worker's"),
    "no such function": (f'["{HERE}.nothing"]', "has no attribute 'nothing'"),
    "no function": (f'["{HERE}.BOOKED"]', "it is not a function"),
    "no docstring": (f'["{HERE}.silent"]', "it has no docstring"),
    "twice": (f'["{HERE}.book_seat", "{HERE}.book_seat"]', "two have the same name"),
    "no path": ('["capacity"]', "must be the dotted path of a function"),
    "code": ('["os.system(\\"ls\\")"]', "must be the dotted path of a function"),
    "no list": ('"os.getcwd"', "should be a valid list"),
    "no time": (f'[{{function = "{HERE}.book_seat", timeout_s = 0}}]', "greater than 0"),
    "an unknown field": (
        f'[{{function = "{HERE}.book_seat", url = "x"}}]',
        "url: is no key that can stand there",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_tool_is_refused_with_its_agent_and_the_reason(case: str, tmp_path: Path) -> None:
    """In one line, before a worker takes a job."""
    tools, reason = WRONG[case]
    with pytest.raises(InvalidProfiles) as caught:
        toolbox(f"[agents.energy]\ntools = {tools}", tmp_path)
    message = str(caught.value)
    assert "energy" in message
    assert reason in message
    assert "\n" not in message
