"""The doors to the memory service."""

import inspect
import threading
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

from memory import (
    InvalidInput,
    RedisMemoryService,
    create_redis_memory_from_config,
    get_redis_memory,
    reset_redis_memory,
)
from memory.redis.connection import Connection

Service = Annotated[RedisMemoryService, Depends(get_redis_memory)]
URL = "rediss://user:s3cret@h:1/3"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without settings; afterwards nothing of it is kept."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    reset_redis_memory()
    yield monkeypatch
    reset_redis_memory()


def _options(service: RedisMemoryService) -> dict[str, object]:
    connection: Connection = service.connection
    return connection.endpoint.options


def test_a_dependency_of_fastapi_has_no_parameters() -> None:
    """Else whoever sends a request could choose the Redis server."""
    app = FastAPI()

    @app.post("/chat")
    async def chat(agent_id: str, redis_memory: Service) -> bool:
        return isinstance(redis_memory, RedisMemoryService)

    @app.post("/as-documented")
    async def as_documented(agent_id: str, redis_memory=Depends(get_redis_memory)) -> bool:  # type: ignore[no-untyped-def]  # noqa: B008 - as the documentation has it
        return isinstance(redis_memory, RedisMemoryService)

    for path in ("/chat", "/as-documented"):
        parameters = app.openapi()["paths"][path]["post"]["parameters"]
        assert [parameter["name"] for parameter in parameters] == ["agent_id"]
    assert not inspect.signature(get_redis_memory).parameters


def test_it_is_the_same_service_every_time() -> None:
    """Per set of arguments, whichever thread asks first."""
    found: list[RedisMemoryService] = []
    threads = [threading.Thread(target=lambda: found.append(get_redis_memory())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1
    assert get_redis_memory(db=1) is get_redis_memory(None, None, None, 1)
    assert get_redis_memory(db=1) is not get_redis_memory(db=2)
    assert get_redis_memory("h", 1, "p", 0) is get_redis_memory(
        host="h",
        port=1,
        password="p",  # noqa: S106
        db=0,
    )


def test_arguments_override_parts_of_the_settings(environment: pytest.MonkeyPatch) -> None:
    """What is not given comes from the settings."""
    environment.setenv("REDIS_HOST", "h")
    environment.setenv("REDIS_USERNAME", "user")
    environment.setenv("REDIS_PASSWORD", "s3cret")
    environment.setenv("REDIS_MEMORY_TTL", "77")

    options = _options(get_redis_memory(db=5))

    assert (options["host"], options["db"], options["password"]) == ("h", 5, "s3cret")
    assert options["username"] == "user"
    assert get_redis_memory(db=5).default_ttl == 77


def test_credentials_of_the_settings_go_to_no_other_server(
    environment: pytest.MonkeyPatch,
) -> None:
    """Neither those of the parts nor those of the URL."""
    environment.setenv("REDIS_PASSWORD", "s3cret")
    environment.setenv("REDIS_USERNAME", "user")
    by_parts = _options(get_redis_memory(host="other"))
    environment.setenv("REDIS_URL", URL)
    by_url = _options(get_redis_memory(host="third", port=9))

    for options in (by_parts, by_url):
        assert "password" not in options
        assert "username" not in options
    assert (by_url["host"], by_url["port"], by_url["ssl"]) == ("third", 9, True)


def test_arguments_override_parts_of_a_url(environment: pytest.MonkeyPatch) -> None:
    """TLS stays TLS."""
    environment.setenv("REDIS_URL", URL)

    other_db = _options(get_redis_memory(db=5))
    other_password = _options(get_redis_memory(password="p@/:"))  # noqa: S106

    assert (other_db["host"], other_db["db"], other_db["password"]) == ("h", 5, "s3cret")
    assert (other_password["username"], other_password["password"]) == ("user", "p@/:")
    assert other_db["ssl"] is other_password["ssl"] is True


def test_credentials_behind_the_question_mark_go_nowhere(
    environment: pytest.MonkeyPatch,
) -> None:
    """The address is refused, whichever server is named beside it."""
    environment.setenv("REDIS_URL", "redis://u:p@h:1/0?password=s3cret&db=3")

    for address in ({}, {"host": "other", "db": 5}):
        with pytest.raises(InvalidInput) as caught:
            get_redis_memory(**address)
        assert "s3cret" not in str(caught.value)


def test_an_address_that_cannot_be_read_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    """Also where a part of it is to be replaced: its password may look like a port."""
    environment.setenv("REDIS_URL", "redis://:s3cret/word@h:1/0")

    with pytest.raises(InvalidInput) as caught:
        get_redis_memory(db=1)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "redis://user:s3cret@/0"])
def test_behind_sentinels_another_db_is_one_of_their_master(
    url: str, environment: pytest.MonkeyPatch
) -> None:
    """Only who names a host or a port means one server, without Sentinels."""
    environment.setenv("REDIS_MODE", "sentinel")
    environment.setenv("REDIS_SENTINELS", "a:1,b:2")
    environment.setenv("REDIS_URL", url)

    where = get_redis_memory(db=1).connection.endpoint
    assert (where.mode, where.sentinels) == ("sentinel", (("a", 1), ("b", 2)))
    assert where.options["db"] == 1
    assert get_redis_memory(port=9).connection.endpoint.mode == "single"


def test_the_parts_of_a_unix_socket_cannot_be_changed(environment: pytest.MonkeyPatch) -> None:
    """It has no host."""
    environment.setenv("REDIS_URL", "unix:///run/redis.sock")

    assert _options(get_redis_memory())["unix_socket_path"] == "/run/redis.sock"
    with pytest.raises(InvalidInput):
        get_redis_memory(db=1)


def test_wrong_settings_are_named_without_their_secrets(environment: pytest.MonkeyPatch) -> None:
    """One line that says which variable is wrong."""
    environment.setenv("REDIS_PORT", "70000")
    environment.setenv("REDIS_PASSWORD", "s3cret")

    with pytest.raises(InvalidInput, match="REDIS_PORT") as caught:
        create_redis_memory_from_config()
    assert "s3cret" not in str(caught.value)


def test_settings_are_read_anew_after_a_reset(environment: pytest.MonkeyPatch) -> None:
    """And by `create_redis_memory_from_config` each time."""
    environment.setenv("REDIS_MEMORY_TTL", "1")
    assert get_redis_memory().default_ttl == 1
    environment.setenv("REDIS_MEMORY_TTL", "2")

    assert create_redis_memory_from_config().default_ttl == 2
    assert get_redis_memory().default_ttl == 1
    reset_redis_memory()
    assert get_redis_memory().default_ttl == 2


def test_the_explicit_constructor_ignores_the_url(environment: pytest.MonkeyPatch) -> None:
    """Who names a server means that one."""
    environment.setenv("REDIS_URL", URL)
    environment.setenv("REDIS_PASSWORD", "s3cret")
    environment.setenv("REDIS_KEY_PREFIX", "mine")

    service = RedisMemoryService("localhost", 6379)

    options = _options(service)
    assert (options["host"], options["db"], options.get("password")) == ("localhost", 0, None)
    assert service.keyspace.prefix == "mine"
