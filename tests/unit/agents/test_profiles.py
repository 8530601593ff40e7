"""Agent profiles: what a file may say, and what an agent id stands for."""

from pathlib import Path

import pytest

from agents import AgentSettings, InvalidProfiles, Profiles
from memory import Priority

WRONG = {
    "no TOML": ("x", "is not valid TOML"),
    "an unknown field": ("[default]\nsystem_promt = 'x'", "did you mean system_prompt?"),
    "an unknown part": ("[agent.energy]", "agent: is no key that can stand there"),
    "an agent that is no table": ("[agents]\nenergy = 1", "agents.energy: must be a table"),
    "agents that are no table": ("agents = 1", "agents: must be a table"),
    "a prompt that is no text": ("[default]\nsystem_prompt = 1", "default.system_prompt: Input"),
    "a model that is no name": (
        "[default]\nmodel = 'a b'",
        "default.model: text of 3 characters is not a model",
    ),
    "a model that is an address": ("[default]\nmodel = 'http://x'", "is not a model"),
    "a temperature over 2": ("[default]\ntemperature = 2.1", "less than or equal to 2"),
    "a temperature below 0": ("[default]\ntemperature = -0.1", "greater than or equal to 0"),
    "no temperature at all": ("[default]\ntemperature = nan", "finite number"),
    "a temperature in quotes": ("[default]\ntemperature = '1'", "valid number"),
    "no tokens": ("[default]\nmax_tokens = 0", "greater than or equal to 1"),
    "half a token": ("[default]\nmax_tokens = 1.5", "valid integer"),
    "a negative window": ("[agents.energy]\nmax_history = -1", "agents.energy.max_history: Input"),
    "a fallback that is no list": ("[default]\nfallback = 'x'", "default.fallback: Input"),
    "a fallback that is no name": (
        "[default]\nfallback = ['a b']",
        "text of 3 characters is not a model",
    ),
    "a fallback before its time": (
        "[default]\nfallback_after_s = -1",
        "greater than or equal to 0",
    ),
    "a time that has no unit": ("[default]\nttl = '30'", "default.ttl: must be seconds, or a"),
    "a time below 0": ("[agents.energy]\nttl = -1", "agents.energy.ttl: Input should be greater"),
    "more than ten years": ("[default]\nttl = '3651d'", "less than or equal to 315360000"),
    "a promise of nothing": ("[default]\nslo = {}", "must have first_token_s or queue_wait_s"),
    "a promise for nearly nobody": (
        "[default]\nslo = {queue_wait_s = 1.0, target = 0.5}",
        "greater than or equal to 0.9",
    ),
    "a promise of no time": ("[default]\nslo = {queue_wait_s = 0.0}", "greater than 0"),
    "a priority that is none": (
        "[default]\npriority = 'urgent'",
        "default.priority: Input should be 'interactive', 'normal' or 'batch'",
    ),
    "a window that is a bool": ("[default]\nmax_history = true", "valid integer"),
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env file plays a part."""
    monkeypatch.chdir(tmp_path)


def profiles_from(
    text: str, directory: Path, max_history: int = 10, supervisor_max_history: int = 20
) -> Profiles:
    """The profiles of a file with this text."""
    path = directory / "profiles.toml"
    path.write_text(text, "utf-8")
    settings = AgentSettings(
        profiles=path, max_history=max_history, supervisor_max_history=supervisor_max_history
    )
    return Profiles.load(settings)


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_refused_with_the_place_and_the_reason(
    text: str, reason: str, tmp_path: Path
) -> None:
    """One line that names the file, the field and what is wrong with it."""
    with pytest.raises(InvalidProfiles) as caught:
        profiles_from(text, tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "profiles.toml") in message
    assert reason in message
    assert "\n" not in message


def test_a_missing_file_is_named_with_its_variable(tmp_path: Path) -> None:
    """AGENT_PROFILES is what an operator has to look at."""
    with pytest.raises(InvalidProfiles, match=r"^AGENT_PROFILES=.*none\.toml: No such file"):
        Profiles.load(AgentSettings(profiles=tmp_path / "none.toml"))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """With our own error, not with Python's."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b"[default]\nsystem_prompt = '\xe9'")
    with pytest.raises(InvalidProfiles, match=r"^AGENT_PROFILES=.*latin\.toml: it is not UTF-8$"):
        Profiles.load(AgentSettings(profiles=path))


def test_an_unknown_agent_speaks_with_the_default_profile(tmp_path: Path) -> None:
    """Under its own id."""
    profiles = profiles_from("[default]\nsystem_prompt = 'Be brief.'\nmodel = 'm:1'", tmp_path)
    unknown = profiles.of("fisheries")
    assert (unknown.agent_id, unknown.system_prompt, unknown.model) == (
        "fisheries",
        "Be brief.",
        "m:1",
    )


def test_an_agent_takes_nothing_from_the_default_profile(tmp_path: Path) -> None:
    """What its own table does not say comes from the settings."""
    text = "[default]\nsystem_prompt = 'Be brief.'\ntemperature = 1\n[agents.energy]\nmodel = 'm'"
    energy = profiles_from(text, tmp_path).of("energy")
    assert (energy.system_prompt, energy.temperature, energy.model) == (None, None, "m")


@pytest.mark.parametrize(
    ("agent_id", "window"), [("energy", 10), ("supervisor", 20), ("unknown", 10)]
)
def test_the_supervisor_has_a_window_of_its_own(agent_id: str, window: int) -> None:
    """AGENT_MAX_HISTORY and SUPERVISOR_MAX_HISTORY have the documented defaults."""
    assert Profiles.load(AgentSettings()).of(agent_id).max_history == window


def test_a_window_in_the_file_wins_over_the_settings(tmp_path: Path) -> None:
    """Also where it is 0: an agent that is shown nothing of the past."""
    text = "[default]\nmax_history = 0\n[agents.supervisor]\nmax_history = 4\n[agents.energy]"
    profiles = profiles_from(text, tmp_path, max_history=7, supervisor_max_history=8)
    windows = {name: profiles.of(name).max_history for name in ("x", "supervisor", "energy")}
    assert windows == {"x": 0, "supervisor": 4, "energy": 7}


def test_an_agent_may_fall_back_to_other_models(tmp_path: Path) -> None:
    """In their order, after its time; nobody does so unasked."""
    text = "[agents.energy]\nfallback = ['small', 'tiny:1b']\nfallback_after_s = 2.5"
    profiles = profiles_from(text, tmp_path)
    energy = profiles.of("energy")
    assert (energy.fallback, energy.fallback_after_s) == (("small", "tiny:1b"), 2.5)
    assert profiles.default.fallback == ()


def test_an_agents_jobs_may_have_time(tmp_path: Path) -> None:
    """Or be urgent; they are normal where nothing is said."""
    profiles = profiles_from("[agents.energy]\npriority = 'batch'", tmp_path)
    assert profiles.of("energy").priority is Priority.BATCH
    assert profiles.default.priority is Priority.NORMAL


def test_the_built_in_agents_are_the_documented_ones() -> None:
    """The examples speak of energy, agriculture and the supervisor; each has its own prompt."""
    profiles = Profiles.load(AgentSettings())
    assert {"energy", "agriculture", "supervisor"} <= set(profiles.by_id)
    prompts = {profile.system_prompt for profile in profiles.by_id.values()}
    assert len(prompts) == len(profiles.by_id)
    assert all(prompt == prompt.strip() for prompt in prompts if prompt)


def test_the_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under the names of docs/services.md."""
    (tmp_path / "p.toml").write_text("")
    values = {
        "AGENT_USE_REDIS_MEMORY": "false",
        "AGENT_MAX_HISTORY": "3",
        "SUPERVISOR_MAX_HISTORY": "4",
        "AGENT_PROFILES": str(tmp_path / "p.toml"),
        "AGENT_TOOL_TIMEOUT": "5",
        "AGENT_TOOL_ROUNDS": "6",
        "AGENT_TOOL_RESULT_BYTES": "700",
        "AGENT_TOOL_CALLS_IN_TEXT": "true",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert sorted(values) == sorted(
        str(field.validation_alias) for field in AgentSettings.model_fields.values()
    )
    settings = AgentSettings()
    assert (settings.use_redis_memory, settings.max_history) == (False, 3)
    assert (settings.supervisor_max_history, settings.profiles) == (4, tmp_path / "p.toml")
    limits = (settings.tool_timeout_s, settings.tool_rounds, settings.tool_result_bytes)
    assert limits == (5.0, 6, 700)
    assert settings.tool_calls_in_text


@pytest.mark.parametrize("name", ["AGENT_MAX_HISTORY", "SUPERVISOR_MAX_HISTORY"])
@pytest.mark.parametrize("value", ["-1", "100001", "ten", "1.5"])
def test_a_window_out_of_bounds_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 to 100 000 messages."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        AgentSettings()


@pytest.mark.parametrize(
    ("given", "seconds"), [("90", 90), ("'36h'", 129_600), ("'30d'", 2_592_000), ("0", 0)]
)
def test_a_profile_says_how_long_sessions_are_kept(
    tmp_path: Path, given: str, seconds: int
) -> None:
    """In seconds, or as a length of time; 0 is kept apart from nothing said."""
    profiles = profiles_from(f"[agents.energy]\nttl = {given}", tmp_path)
    assert profiles.of("energy").ttl_s == seconds
    assert profiles.of("other").ttl_s is None
