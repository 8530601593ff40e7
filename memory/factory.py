"""The functions that give the memory service to any part of a process."""

import inspect
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import SecretStr

from memory.errors import InvalidInput
from memory.redis.endpoint import endpoint
from memory.service import RedisMemoryService
from memory.settings import MemorySettings, read_settings, settings_for

P = ParamSpec("P")
R = TypeVar("R")

_Address = tuple[str | None, int | None, str | None, int | None]
_instances: dict[_Address, RedisMemoryService] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    # A thread of the parent may have held it at the fork.
    global _lock  # noqa: PLW0603 - the lock of a module can only be replaced so
    _lock = threading.Lock()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _without_visible_parameters(function: Callable[P, R]) -> Callable[P, R]:
    """Hide the parameters from code that inspects the signature at run time.

    FastAPI makes the parameters of a dependency query parameters: with `Depends(get_redis_memory)`
    the sender of a request could choose the Redis server, and its password would be in a log.
    """
    shown = inspect.Signature(return_annotation=RedisMemoryService)
    function.__signature__ = shown  # type: ignore[attr-defined]  # read by inspect.signature
    return function


@_without_visible_parameters
def get_redis_memory(
    host: str | None = None,
    port: int | None = None,
    password: str | None = None,
    db: int | None = None,
) -> RedisMemoryService:
    """The memory service of this process; the same one for the same arguments.

    Without arguments the settings say where Redis is (REDIS_URL, REDIS_HOST …). What is not given
    comes from the settings too, but their user and password are never sent to another host or
    port. Nothing is sent before the first call. Safe in threads, after a fork, and as
    `Depends(get_redis_memory)`. InvalidInput when the settings or the arguments are impossible.
    """
    address = (host, port, password, db)
    service = _instances.get(address)
    if service is None:
        with _lock:
            service = _instances.get(address)
            if service is None:
                service = RedisMemoryService.from_settings(_settings_at(*address))
                _instances[address] = service
    return service


def create_redis_memory_from_config() -> RedisMemoryService:
    """A new memory service from the settings as they are now. Close it when it is not needed."""
    return RedisMemoryService.from_settings(read_settings())


def reset_redis_memory() -> None:
    """Close what `get_redis_memory` has given out and read the settings anew from now on."""
    with _lock:
        services = list(_instances.values())
        _instances.clear()
    for service in services:
        service.close()


def _settings_at(
    host: str | None, port: int | None, password: str | None, db: int | None
) -> MemorySettings:
    settings = read_settings()
    if (host, port, password, db) == (None, None, None, None):
        return settings
    is_same_server = host is None and port is None
    # Who names a server means that one, not the master that some Sentinels know.
    mode = "single" if settings.mode == "sentinel" and not is_same_server else settings.mode
    if settings.url is not None:
        endpoint(settings)  # refuses what cannot be taken apart without showing it
        url = _url_at(settings.url.get_secret_value(), host, port, password, db)
        return settings.model_copy(update={"url": SecretStr(url), "mode": mode})
    known = settings.password.get_secret_value() if settings.password is not None else None
    given = settings_for(
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        db=settings.db if db is None else db,
        username=settings.username if is_same_server else None,
        password=known if password is None and is_same_server else password,
        default_ttl_s=settings.default_ttl_s,
    )
    return given.model_copy(update={"mode": mode})


def _url_at(
    url: str, host: str | None, port: int | None, password: str | None, db: int | None
) -> str:
    """`url` with some of its parts replaced; whether it is TLS stays as it is."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        raise InvalidInput(
            "REDIS_URL is a Unix socket: host, port and db cannot be given as arguments"
        )
    user, secret = "", "" if password is None else quote(password, safe="")
    if host is None and port is None:
        user = parts.username or ""
        secret = secret or parts.password or ""
    login = f"{user}:{secret}@" if user or secret else ""
    name = host or parts.hostname or "localhost"
    where = f"[{name}]" if ":" in name else name
    path = parts.path if db is None else f"/{db}"
    return urlunsplit(
        parts._replace(netloc=f"{login}{where}:{port or parts.port or 6379}", path=path)
    )
