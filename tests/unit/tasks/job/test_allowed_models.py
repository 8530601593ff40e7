"""Which models a job may name."""

from pathlib import Path

import pytest

from tasks.errors import ConfigurationError, InvalidJob
from tasks.job.allowed_models import AllowedModels
from tasks.process.configuration import Settings, load_settings
from tests.conftest import FAST

PROFILES = """
[default]
model = "house:8b"
fallback = ["spare"]
[agents.energy]
model = "energetic"
"""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this suite and no .env file plays a part."""
    for name in ("REDIS_URL", *FAST):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings of an environment, past the cache."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings: Settings = load_settings.__wrapped__()
    return settings


@pytest.mark.parametrize(
    "model",
    ["qwen3:8b", "QWEN3:8B", "library/qwen3:8b", "registry.ollama.ai/library/qwen3:8b", "llama3",
     "llama3:latest"],
)  # fmt: skip
def test_a_model_that_is_named_is_allowed_however_it_is_spelled(model: str) -> None:
    """By Ollama's own rule."""
    AllowedModels(("qwen3:8b", "llama3:latest"), has_cloud=False).check(model)


@pytest.mark.parametrize("model", ["qwen3", "qwen3:4b", "other/qwen3:8b", "host/library/qwen3:8b"])
def test_another_model_is_refused(model: str) -> None:
    """The error says what is allowed, and which setting to change."""
    allowed = AllowedModels(("qwen3:8b", "llama3"), has_cloud=True)
    with pytest.raises(InvalidJob, match=r"allowed are qwen3:8b, llama3 \(CHAT_ALLOWED_MODELS\)"):
        allowed.check(model)


def test_a_long_list_is_not_told_whole() -> None:
    """An error is a line."""
    allowed = AllowedModels([f"model-{n}" for n in range(300)], has_cloud=False)
    with pytest.raises(InvalidJob, match="model-9 and 290 more") as refused:
        allowed.check("other")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "x:cloud", "X:Cloud", "x:7b:cloud"])
def test_a_model_of_the_cloud_needs_a_setting_of_its_own(model: str) -> None:
    """Whatever the list says: the conversation leaves the network."""
    for names in (("*",), (model.lower(),)):
        with pytest.raises(InvalidJob, match="CHAT_CLOUD_MODELS=true"):
            AllowedModels(names, has_cloud=False).check(model)
        AllowedModels(names, has_cloud=True).check(model)


def test_by_default_the_models_of_the_agents_are_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of all profiles, their fallbacks, and OLLAMA_MODEL where a profile has none."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(PROFILES)
    named = loaded(monkeypatch, AGENT_PROFILES=str(profiles), OLLAMA_MODEL="unused")
    assert sorted(named.allowed_models.names) == ["energetic", "house:8b", "spare", "unused"]
    assert named.knows_models
    assert not named.allowed_models.has_cloud


def test_a_producer_that_was_told_nothing_leaves_it_to_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It knows only where Redis is: the profiles may be the worker's."""
    assert not loaded(monkeypatch, OLLAMA_MODEL="mine").knows_models
    told = loaded(monkeypatch, CHAT_ALLOWED_MODELS=" a:1b , b,", CHAT_CLOUD_MODELS="true")
    assert told.knows_models
    assert told.allowed_models == AllowedModels(("a:1b", "b"), has_cloud=True)


def test_a_name_that_is_none_stops_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first job."""
    with pytest.raises(ConfigurationError, match="CHAT_ALLOWED_MODELS"):
        loaded(monkeypatch, CHAT_ALLOWED_MODELS="a, http://x")
