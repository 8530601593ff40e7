"""What `griot check` and `griot status` tell of several Ollamas, with real servers."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from llm import LLMService, LLMSettings
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from tasks.process.configuration import load_settings
from worker.checks.findings import Level
from worker.checks.models import check_ollama
from worker.model_servers import model_servers

MODEL = "llama9:1b"


@pytest.fixture
def pair() -> Iterator[tuple[OllamaStandIn, OllamaStandIn]]:
    """Both have the default models, the first has one more."""
    with OllamaStandIn(models=[MODEL]) as first, OllamaStandIn() as second:
        yield first, second


def settings_for(*urls: str, model: str = "qwen2.5:0.5b") -> LLMSettings:
    return LLMSettings(base_urls=urls, model=model)


def levels(llm: LLMSettings) -> list[tuple[str, Level]]:
    findings = check_ollama(replace(load_settings(), llm=llm))
    assert all(finding.advice for finding in findings if finding.level is not Level.OK)
    return [(finding.check, finding.level) for finding in findings]


def test_each_server_that_answers_is_well(pair: tuple[OllamaStandIn, OllamaStandIn]) -> None:
    """One line for each server and one for each model."""
    llm = settings_for(*(server.url for server in pair))
    assert levels(llm) == [("ollama", Level.OK), ("ollama", Level.OK), ("model", Level.OK)]


def test_one_of_two_servers_that_is_down_is_a_warning(
    pair: tuple[OllamaStandIn, OllamaStandIn],
) -> None:
    """The other one does the work."""
    pair[1].stop()
    llm = settings_for(*(server.url for server in pair))
    assert levels(llm) == [("ollama", Level.OK), ("ollama", Level.WARN), ("model", Level.OK)]


def test_no_server_at_all_is_a_failure() -> None:
    """Then nothing is said of models."""
    llm = settings_for(*(f"http://127.0.0.1:{free_port()}" for _ in range(2)))
    assert levels(llm) == [("ollama", Level.FAIL), ("ollama", Level.FAIL)]


def test_a_model_that_one_server_lacks_is_a_warning(
    pair: tuple[OllamaStandIn, OllamaStandIn],
) -> None:
    """It names the server; where all lack it, it is a failure."""
    llm = settings_for(*(server.url for server in pair), model=MODEL)
    assert levels(llm)[-1] == ("model", Level.WARN)
    assert levels(settings_for(pair[1].url, model=MODEL))[-1] == ("model", Level.FAIL)


def test_what_each_server_has_is_reported(pair: tuple[OllamaStandIn, OllamaStandIn]) -> None:
    """Installed, in memory, or why it does not say."""
    with LLMService(settings_for(pair[0].url)) as service:
        service.chat("hello", model=MODEL)
    nowhere = f"http://127.0.0.1:{free_port()}"
    first, second, third = model_servers(settings_for(pair[0].url, pair[1].url, nowhere))
    assert (first.loaded, second.loaded, third.loaded) == ((MODEL,), (), ())
    assert MODEL in first.installed
    assert MODEL not in second.installed
    assert "does not answer" in third.trouble
    assert (first.trouble, second.trouble) == ("", "")


def test_a_model_is_installed_under_every_name_that_ollama_takes(
    pair: tuple[OllamaStandIn, OllamaStandIn],
) -> None:
    """And one of the cloud is answered by it, whatever a server has."""
    for model in (MODEL.upper(), f"library/{MODEL}", "gpt-oss:120b-cloud"):
        llm = settings_for(pair[0].url, model=model)
        assert levels(llm)[-1] == ("model", Level.OK), model
