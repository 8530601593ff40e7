"""Where a process is wired together: settings → clients → services, each built on first use.

Below this module there are only constructor arguments.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Generic, TypeVar, get_args

from celery.app.backends import BACKEND_ALIASES
from kombu.transport import TRANSPORT_ALIASES
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from agents import AgentSettings, InvalidProfiles, Profiles, Toolbox
from llm import Capabilities, ContextLimits, Fleet, LLMSettings, full_name
from memory import AsyncConnection, Connection, InvalidInput, Keyspace, MemorySettings, Slots
from tasks.errors import ConfigurationError
from tasks.process.app import app
from tasks.process.cancellations import watch_cancellations
from tasks.process.lease import Running
from tasks.process.owing import Owing
from tasks.process.queue_wait import QueueWait
from tasks.process.relay import Relay
from tasks.process.retry import Backoff
from tasks.process.runtime import Runtime
from tasks.process.slot_notifier import SlotNotifier
from tasks.process.summaries import Summaries
from tasks.process.wakeup import wake
from tasks.settings import QueueSettings

T = TypeVar("T")
S = TypeVar("S", bound=BaseSettings)

EXAMPLE_URL = "such as redis://:password@host:6379/1"
WEEK_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a process, checked."""

    memory: MemorySettings
    llm: LLMSettings
    agents: AgentSettings
    queue: QueueSettings
    profiles: Profiles

    @property
    def broker_url(self) -> str:
        """Celery's broker. Holds the password: never log it."""
        return _celery_url(self.memory, self.queue.broker_url, 1, "CELERY_BROKER_URL")

    @property
    def result_backend(self) -> str:
        """Celery's result backend. Holds the password: never log it.

        Beside a broker that was given for a Sentinel or a Cluster: the db after the broker's.
        """
        if self.queue.result_backend is None and self.memory.mode != "single":
            server, _, db = self.broker_url.rpartition("/")
            if db.isdecimal():
                return f"{server}/{int(db) + 1}"
        return _celery_url(self.memory, self.queue.result_backend, 2, "CELERY_RESULT_BACKEND")

    @property
    def max_image_bytes(self) -> int:
        """How large the images of one message may be, decoded: with base64 and the text beside
        them they must fit into one message of the history."""
        return min(self.queue.max_image_bytes, self.memory.max_value_bytes // 2)

    @property
    def models(self) -> list[str]:
        """Every model that a job without one of its own may be answered by."""
        profiles = (self.profiles.default, *self.profiles.by_id.values())
        return sorted({profile.model or self.llm.model for profile in profiles})

    @property
    def stale_after_s(self) -> float:
        """How long a session must be unused to be deleted: never less than its TTL promises."""
        given_s = self.queue.stale_after_s
        return max(WEEK_S, self.memory.default_ttl_s) if given_s is None else given_s


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read and check every setting, once. Raises ConfigurationError: one line, no secret in it."""
    agents = checked(AgentSettings)
    try:
        profiles = Profiles.load(agents)
    except InvalidProfiles as exc:
        raise ConfigurationError(str(exc)) from exc
    settings = Settings(
        memory=checked(MemorySettings),
        llm=checked(LLMSettings),
        agents=agents,
        queue=checked(QueueSettings),
        profiles=profiles,
    )
    try:
        Connection(settings.memory)
    except InvalidInput as exc:
        raise ConfigurationError(str(exc)) from None
    _ = settings.broker_url, settings.result_backend
    return settings


class Services:
    """What the chat jobs of one process share, on the process' event loop and off it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keyspace = Keyspace(settings.memory.key_prefix)
        self.backoff = Backoff(settings.queue.retry_base_s, settings.queue.retry_max_s)
        self.runtime = Runtime()
        self.running = Running()
        self.queue_wait = QueueWait()
        self.concurrency = settings.queue.concurrency
        """Turns that this process runs at once; a pool that was told otherwise (`-c`) says so."""
        self._watching: asyncio.Task[None] | None = None

    @property
    def grace_ms(self) -> int:
        """How long a wake-up may be under way before it counts as lost."""
        return self.queue_wait.patience_ms(self.settings.queue.grace_s)

    @cached_property
    def memory(self) -> Connection:
        """The blocking connection: the producer's side and maintenance."""
        return Connection(self.settings.memory)

    @cached_property
    def async_memory(self) -> AsyncConnection:
        """The connection of the event loop; first used on it."""
        return AsyncConnection(self.settings.memory)

    @cached_property
    def owing(self) -> Owing:
        """What this process tells of the results that it has stored."""
        return Owing(self.runtime, self.keyspace, lambda: self.async_memory)

    @cached_property
    def ollama(self) -> Fleet:
        """The model servers of the event loop; first used on it."""
        return Fleet.from_settings(
            self.settings.llm,
            max_connections=self.concurrency + 10,
            models=self.settings.models,
        )

    @cached_property
    def toolbox(self) -> Toolbox:
        """The tools that models may call. Raises InvalidProfiles."""
        return Toolbox(self.settings.profiles, self.settings.agents)

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the models can do; used on the event loop only."""
        return Capabilities(self.ollama.capabilities)

    @cached_property
    def context_limits(self) -> ContextLimits:
        """What is known of the models' windows; used on the event loop only."""
        return ContextLimits(self.ollama.servers, self.settings.llm)

    @cached_property
    def summaries(self) -> Summaries:
        """The summaries to be made when nobody waits; used on the event loop only."""
        llm, stream = self.settings.llm, self.ollama.stream
        return Summaries(self.async_memory, self.keyspace, self.context_limits, stream, llm)

    @cached_property
    def relay(self) -> Relay:
        """The way of tokens to the event streams; used on the event loop only."""
        return Relay(self.async_memory, ttl_s=self.settings.memory.default_ttl_s)

    @cached_property
    def slot_notifier(self) -> SlotNotifier:
        """Who wakes those that are called out of a model's line; used on the event loop only."""
        return SlotNotifier(
            self.async_memory,
            self.keyspace,
            patience_ms=lambda: self.grace_ms,
            open_to=self.ollama.open_to,
            wake=partial(wake, app),
        )

    def slots_at(self, model: str) -> Slots | None:
        """The places at a model, at every server; None where nothing bounds it."""
        limit = self.settings.llm.parallel_calls(model)
        if limit is None:
            return None
        return Slots(self.keyspace, full_name(model), self.settings.llm.servers, limit)

    def watch_cancellations(self) -> None:
        """Have this process stop the jobs whose end somebody asks for; on the event loop only."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(
                watch_cancellations(self.settings.memory, self.keyspace, self.running)
            )


class PerProcess(Generic[T]):
    """A value built on first use, once per process: thread-safe, and anew after a fork."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._made: tuple[T] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self) -> T:
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or (self._build(),)
        return made[0]

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._made = None


services = PerProcess(lambda: Services(load_settings()))
"""The services of this process."""


def checked(kind: type[S]) -> S:
    """The settings of one package. Raises ConfigurationError: one line, no secret in it."""
    try:
        return kind()
    except ValidationError as exc:
        raise ConfigurationError(_one_line(kind, exc)) from None


def _one_line(kind: type[BaseSettings], error: ValidationError) -> str:
    """`NAME=value: what is wrong; NAME: what it means`, for the first wrong setting."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    field = next(
        (known for known in kind.model_fields.values() if known.validation_alias == name), None
    )
    if field is None:
        return reason
    value = " ".join(str(first["input"]).split())
    # An address in a field that takes no login may still hold one.
    is_secret = SecretStr in (field.annotation, *get_args(field.annotation)) or "@" in value
    shown = "" if is_secret else f"={value}"
    return f"{name}{shown}: {reason} ({field.description})"


def _celery_url(memory: MemorySettings, given: SecretStr | None, db_offset: int, name: str) -> str:
    if given is not None:
        url = given.get_secret_value()
        kind, colon, _ = url.partition(":")
        known = TRANSPORT_ALIASES if name == "CELERY_BROKER_URL" else BACKEND_ALIASES
        if not colon or kind.partition("+")[0] not in known:
            raise ConfigurationError(f"{name} must be an address that Celery knows, {EXAMPLE_URL}")
        return _checked_tls(url)
    try:
        return _checked_tls(memory.url_of_db(db_offset))
    except ValueError as exc:
        raise ConfigurationError(f"{name} must be given: {exc}") from exc


def _checked_tls(url: str) -> str:
    """The same address; over TLS the server's certificate is checked unless the address says no.

    Kombu 5.7.0 checks nothing where an address is silent, and Celery's backend refuses it.
    """
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
