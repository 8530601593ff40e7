"""What is known of the models of one server, by whatever name they are asked for."""

import asyncio

import pytest

from llm import OllamaClient
from tests.support.fake_models import FakeOllama

WEIGHTS = "sha256-" + "a5" * 32


def modelfile(weights: str = WEIGHTS) -> dict[str, object]:
    """What /api/show says of a model with these weights."""
    return {"modelfile": f"# Modelfile\nFROM /root/.ollama/blobs/{weights}\nTEMPLATE x\n"}


@pytest.fixture
def server() -> FakeOllama:
    """It has `gemma` loaded, and an alias of it installed."""
    fake = FakeOllama()
    fake.installed = ["Gemma:latest", "alias:latest", "other:latest"]
    fake.left_s = {"Gemma:latest": 300}
    fake.shown = {
        "gemma:latest": modelfile(),
        "alias:latest": modelfile(),
        "other:latest": modelfile("sha256-" + "b6" * 32),
    }
    return fake


@pytest.mark.parametrize("name", ["gemma", "GEMMA", "library/gemma:latest", "gemma:local"])
async def test_a_model_is_known_by_every_name_that_ollama_takes(
    server: FakeOllama, name: str
) -> None:
    """As installed and as loaded, without a look at what it is."""
    look = server.catalog.renew()
    assert look is not None
    await look
    assert server.catalog.is_installed(name)
    assert server.catalog.is_loaded(name)
    assert (await server.catalog.loaded_for(name)) is not None
    assert not [path for path in server.asked if "show" in path]
    server.catalog.note_missing(name)
    assert (server.catalog.is_installed(name), server.catalog.is_loaded(name)) == (False, False)


async def test_an_alias_of_what_is_loaded_is_loaded(server: FakeOllama) -> None:
    """/api/ps has only the name that loaded it; another model is not."""
    found = await server.catalog.loaded_for("Alias")
    assert found is not None
    assert found.name == "Gemma:latest"
    assert server.catalog.is_loaded("alias")
    assert await server.catalog.loaded_for("other") is None
    asked = [path for path in server.asked if "show" in path]
    assert len(asked) == len(set(asked)) == 3, "each model is asked for once"
    await server.catalog.loaded_for("alias")
    assert [path for path in server.asked if "show" in path] == asked
    server.catalog.note_unloaded("alias")
    assert not server.catalog.is_loaded("gemma"), "they share one place"


async def test_a_model_that_nobody_can_describe_is_known_by_its_name_alone(
    server: FakeOllama,
) -> None:
    """The look-up does not fail for it."""
    assert await server.catalog.loaded_for("unknown") is None


async def test_details_are_asked_for_once_under_all_names(server: FakeOllama) -> None:
    """Also by callers that come at the same time."""
    names = ("other", "OTHER", "library/other")
    await asyncio.gather(*(server.catalog.details(name) for name in names))
    assert len(server.asked) == 1
    assert all(server.catalog.has_details(name) for name in names)


@pytest.mark.parametrize(
    ("base_url", "model", "is_elsewhere"),
    [
        ("http://localhost:11434", "gpt-oss:120b-cloud", True),
        ("http://localhost:11434", "gpt-oss:120b", False),
        ("https://ollama.com", "gpt-oss:120b", True),
        ("https://notollama.com", "gpt-oss:120b", False),
    ],
)
async def test_models_of_the_cloud_are_loaded_by_nobody_here(
    base_url: str, model: str, is_elsewhere: bool
) -> None:
    """Known by their names, or by the address."""
    async with OllamaClient(base_url) as client:
        assert client.catalog.is_elsewhere(model) is is_elsewhere


async def test_a_remote_model_under_a_name_of_its_own_is_known_by_its_description(
    server: FakeOllama,
) -> None:
    """As `ollama create helper --from gpt-oss:120b-cloud` makes one."""
    server.shown["helper:latest"] = {"remote_model": "gpt-oss:120b"}
    assert not server.catalog.is_elsewhere("helper")
    await server.catalog.details("helper")
    assert server.catalog.is_elsewhere("Helper")
    server.catalog.note_loaded("helper")
    assert not server.catalog.is_loaded("helper"), "it answers, but nothing was loaded"


@pytest.mark.parametrize("ahead_s", [0.0, 3600.0, -3600.0])
async def test_the_time_left_is_reckoned_by_the_servers_clock(
    server: FakeOllama, ahead_s: float
) -> None:
    """Ours may be another."""
    server.clock_ahead_s = ahead_s
    loaded = await server.catalog.loaded_for("gemma")
    assert loaded is not None
    assert server.catalog.seconds_left(loaded) == pytest.approx(300, abs=5)
