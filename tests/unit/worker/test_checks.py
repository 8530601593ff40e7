"""What the checks make of what servers say, without any server."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from agents import AgentSettings, Profiles
from llm import InvalidReplyError, LLMSettings, is_installed
from llm.wire.models import read_models
from memory import MemorySettings
from memory.redis.server_info import ServerInfo
from tasks.process.configuration import BROKER, load_settings
from tasks.settings import QueueSettings
from worker.checks.advice import advice_on
from worker.checks.deployment import check_settings, server_findings
from worker.checks.findings import Level
from worker.checks.models import check_calls, check_cloud, check_key, check_window
from worker.cli.servers import environment_of, names_own_redis

WELL = ServerInfo(
    product="Valkey 9.1.2",
    version="7.2.4",
    eviction_policy="noeviction",
    is_append_only=True,
    used_memory_bytes=10,
    maxmemory_bytes=100,
)


def test_a_server_that_is_set_up_well_gives_no_advice() -> None:
    """All findings are OK and ask for nothing."""
    findings = server_findings(WELL, "here")
    assert {(finding.level, finding.advice) for finding in findings} == {(Level.OK, "")}
    assert "Valkey 9.1.2 at here" in {finding.found for finding in findings}


@pytest.mark.parametrize(
    ("server", "check", "level"),
    [
        (replace(WELL, eviction_policy="allkeys-lru"), "redis eviction", Level.FAIL),
        (replace(WELL, eviction_policy=""), "redis eviction", Level.FAIL),
        (replace(WELL, is_append_only=False), "redis durability", Level.WARN),
        (replace(WELL, version="6.2.14"), "redis", Level.FAIL),
        (replace(WELL, version="unstable"), "redis", Level.FAIL),
        (replace(WELL, used_memory_bytes=80), "redis memory", Level.WARN),
    ],
)
def test_what_endangers_jobs_is_found(server: ServerInfo, check: str, level: Level) -> None:
    """Each with its own level and a word on what to do; nothing else is blamed."""
    bad = [finding for finding in server_findings(server, "here") if finding.level is not Level.OK]
    assert [(finding.check, finding.level) for finding in bad] == [(check, level)]
    assert bad[0].advice


def test_a_server_just_below_crowded_is_well() -> None:
    """The bound is 80 % of maxmemory; without a limit there is none."""
    for server in (replace(WELL, used_memory_bytes=79), replace(WELL, maxmemory_bytes=0)):
        assert all(f.level is Level.OK for f in server_findings(server, "here"))


def test_it_is_told_whether_calls_are_bounded() -> None:
    """Unset is well, as it may be meant; what could be set is told."""
    settings = load_settings()
    unbounded = check_calls(settings)
    assert unbounded.level is Level.OK
    assert "OLLAMA_NUM_PARALLEL" in unbounded.advice
    model = settings.llm.model
    for llm in (LLMSettings(num_parallel=4), LLMSettings(num_parallel_by_model=f"{model}=4")):
        bounded = check_calls(replace(settings, llm=llm))
        assert (bounded.found, bounded.advice) == (f"4 at once for {model}", "")
    other = check_calls(replace(settings, llm=LLMSettings(num_parallel_by_model="other=4")))
    assert other.found == f"any number at once for {model}"


def test_what_a_window_costs_on_a_shared_server_is_told() -> None:
    """Only where one is set, and others use the server too."""
    settings = load_settings()
    assert check_window(settings) == []
    for llm in (LLMSettings(num_ctx=8192), LLMSettings(num_ctx_by_model="m=8192")):
        (told,) = check_window(replace(settings, llm=llm))
        assert told.level is Level.WARN
        assert "loads the model again" in told.found
        assert "OLLAMA_SHARED=false" in told.advice
        alone = llm.model_copy(update={"shared": False})
        assert check_window(replace(settings, llm=alone)) == []


@pytest.mark.parametrize(
    ("url", "is_told"),
    [("http://gateway:8080", True), ("https://gateway", False), ("http://127.0.0.1:1", False)],
)
def test_a_key_that_travels_in_the_clear_is_told(url: str, is_told: bool) -> None:
    """Without the key; and nothing where there is none."""
    settings = load_settings()
    llm = LLMSettings(base_url=url, api_key=SecretStr("geheim"))
    told = check_key(replace(settings, llm=llm))
    assert bool(told) is is_told
    assert "geheim" not in str(told)
    assert check_key(replace(settings, llm=LLMSettings(base_url=url))) == []


def test_models_of_the_cloud_are_told() -> None:
    """Those that a job may name, and those of the agents."""
    settings = load_settings()
    assert check_cloud(settings) == []
    (told,) = check_cloud(replace(settings, queue=QueueSettings(cloud_models=True)))
    assert (told.level, told.advice) == (Level.WARN, "unset CHAT_CLOUD_MODELS")
    (told,) = check_cloud(replace(settings, llm=LLMSettings(model="gpt-oss:20b-cloud")))
    assert told.level is Level.WARN
    assert "gpt-oss:20b-cloud" in told.found


def test_models_are_read_with_their_tags() -> None:
    """The names as /api/tags has them."""
    body = b'{"models":[{"name":"qwen2.5:0.5b","size":1},{"name":"llama3:latest"}]}'
    assert read_models(body, base_url="http://x") == ("qwen2.5:0.5b", "llama3:latest")
    assert read_models(b'{"models":null}', base_url="http://x") == ()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"models":[1]}'])
def test_what_is_no_list_of_models_is_refused(body: bytes) -> None:
    """Something else may listen at Ollama's address."""
    with pytest.raises(InvalidReplyError, match="is it Ollama"):
        read_models(body, base_url="http://x")


def test_a_model_without_a_tag_means_latest() -> None:
    """As Ollama has it, and no other tag will do."""
    installed = ("llama3:latest", "qwen2.5:0.5b")
    assert is_installed("llama3", installed)
    assert is_installed("qwen2.5:0.5b", installed)
    assert not is_installed("qwen2.5", installed)
    assert not is_installed("llama3:8b", installed)


def test_the_models_of_all_agents_are_wanted() -> None:
    """Without one of their own they all have OLLAMA_MODEL, which is asked for once."""
    settings = load_settings()
    assert settings.models == [settings.llm.model]
    assert check_settings(settings).level is Level.OK


def test_two_spellings_of_one_model_are_one(tmp_path: Path) -> None:
    """It is looked for, pulled and shown once."""
    path = tmp_path / "profiles.toml"
    path.write_text(
        "[agents.a]\nmodel = 'Llama9:1b'\n[agents.b]\nmodel = 'library/llama9:1b'\n"
        "[agents.c]\nmodel = 'other'\n"
    )
    settings = load_settings()
    named = replace(settings, profiles=Profiles.load(AgentSettings(profiles=path)))
    assert named.models == ["Llama9:1b", "other", settings.llm.model]


@pytest.mark.parametrize(
    "build",
    [
        lambda: MemorySettings(url=SecretStr("redis://:geheim@h:1/2"), key_prefix="griot-demo-1"),
        lambda: MemorySettings(url=None, mode="sentinel", sentinels=("a:1", "b:2")),
        lambda: LLMSettings(model="llama3", keep_alive="30m"),
        lambda: LLMSettings(base_urls=("http://a:1", "http://b:1")),
        lambda: QueueSettings(lease_s=2.5, broker_url=SecretStr("redis://:geheim@h:1/3")),
    ],
)
def test_settings_reach_another_process_unchanged(
    build: Callable[[], MemorySettings | LLMSettings | QueueSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is passed on as environment variables gives the same settings there."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings = build()
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert type(settings)() == settings


@pytest.mark.parametrize(
    ("environment", "is_own"),
    [
        ({}, False),
        ({"REDIS_MEMORY_TTL": "5"}, False),
        ({"REDIS_URL": ""}, False),
        ({"REDIS_URL": "redis://h/0"}, True),
        ({"REDIS_HOST": "localhost"}, True),
        ({"REDIS_PORT": "6380"}, True),
    ],
)
def test_a_redis_of_ones_own_is_recognised(
    environment: dict[str, str], is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says where Redis is means that one; other settings say nothing of it."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert names_own_redis(MemorySettings()) is is_own


def test_the_calls_are_those_of_each_server(tmp_path: Path) -> None:
    """Where the file of servers gives them slots of their own."""
    path = tmp_path / "servers.toml"
    path.write_text('[[server]]\nurl = "http://a:1"\nslots = 3\n[[server]]\nurl = "http://b:1"\n')
    llm = LLMSettings(_env_file=None, entries=str(path), num_parallel=2)  # type: ignore[arg-type]  # read from the file
    found = check_calls(replace(load_settings(), llm=llm)).found
    assert found.startswith("3 at once or 2 at once for ")


@pytest.mark.parametrize("said", ["Connection refused", "Name or service not known", "odd"])
def test_advice_names_the_setting_that_was_given(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the broker's address comes from REDIS_URL, that one is to be corrected."""
    settings = load_settings()
    for given, named in ((None, "REDIS_URL (or give CELERY_BROKER_URL)"), ("x", BROKER)):
        queue = settings.queue.model_copy(update={"broker_url": given})
        now = replace(settings, queue=queue)
        monkeypatch.setattr("worker.checks.advice.load_settings", lambda now=now: now)
        advice = advice_on(OSError(said), BROKER)
        assert named in advice
        assert ("REDIS_URL" in advice) == (given is None)
