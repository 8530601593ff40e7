"""All settings of a process, read once and checked: what is wrong is one line, without a secret."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from agents import AgentSettings, InvalidProfiles, Profiles
from llm import LLMSettings, full_name
from memory import Connection, InvalidInput, MemorySettings, check_env_file
from memory.address import ESCAPES, check_address, option_names
from memory.lifetimes import UNTIL_ERASED_S
from memory.quotas import job_records, owners
from memory.quotas.job_records import Listed
from memory.quotas.owners import Owner, Quota
from tasks.errors import ConfigurationError
from tasks.job.allowed_models import AllowedModels
from tasks.job.envelope_size import largest_envelope_bytes
from tasks.job.job import ChatJob
from tasks.process.broker_names import BrokerNames
from tasks.process.celery_tls import (
    CeleryAddress,
    celery_address,
    plain_options,
    sentinel_transport,
)
from tasks.settings import QueueSettings
from webhooks.settings import WebhookSettings

S = TypeVar("S", bound=BaseSettings)

EXAMPLE_URL = "such as redis://:password@host:6379/1"
# docs/decisions.md, "Redis for results, Redis or RabbitMQ as broker".
PLAIN_KINDS = ("redis", "rediss", "redis+socket")
RESULT_KINDS = ("redis", "rediss", "sentinel", "redis+socket")
BROKER_KINDS = (*RESULT_KINDS, "amqp", "amqps", "pyamqp")
SOCKET = "redis+socket://"
BROKER, RESULTS = "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"
OF_SOCKET = {"virtual_host"}
OF_AMQP = {"connect_timeout", "heartbeat", "login_method"}
"""Options that may stand behind the `?` of an address, besides those of TLS."""
WEEK_S = 7 * 86_400.0


@dataclass(frozen=True)
class Settings:
    """All settings of a process, checked."""

    memory: MemorySettings
    llm: LLMSettings
    agents: AgentSettings
    queue: QueueSettings
    profiles: Profiles
    webhooks: WebhookSettings

    @cached_property
    def names(self) -> BrokerNames:
        """What queues, exchanges and results of this deployment are called."""
        return BrokerNames(self.memory.key_prefix)

    @property
    def broker_url(self) -> str:
        """Celery's broker. Holds the password: never log it."""
        return _celery_url(self.memory, self.queue.broker_url, 1, BROKER)

    @property
    def plain_broker(self) -> MemorySettings | None:
        """How the broker is reached without kombu; None where it is not one plain Redis."""
        return self._plain(self.broker_url)

    @cached_property
    def is_rabbitmq(self) -> bool:
        """Whether the broker is RabbitMQ, and not Redis."""
        return _kind(self.broker_url) not in RESULT_KINDS

    @property
    def broker(self) -> CeleryAddress:
        """The same as Celery gets it."""
        return celery_address(self.broker_url, BROKER)

    def sentinel_transport(self, address: CeleryAddress) -> dict[str, object]:
        """What Celery's transport options say of the Sentinels of an address. Never log it."""
        return sentinel_transport(self.memory, address)

    @property
    def results(self) -> CeleryAddress:
        """The result backend as Celery gets it."""
        return celery_address(self.result_backend, RESULTS)

    @property
    def result_backend(self) -> str:
        """Celery's result backend. Holds the password: never log it.

        Beside a broker that was given for a Sentinel or a Cluster: the db after the broker's.
        """
        if self.queue.result_backend is None and self.memory.mode != "single":
            server, _, db = self.broker_url.rpartition("/")
            if db.isdecimal() and _kind(server) in RESULT_KINDS:
                return f"{server}/{int(db) + 1}"
        return _celery_url(self.memory, self.queue.result_backend, 2, RESULTS)

    @property
    def plain_results(self) -> MemorySettings | None:
        """How the results are reached without Celery; None where that is not one plain Redis."""
        return self._plain(self.result_backend)

    def _plain(self, url: str) -> MemorySettings | None:
        if _kind(url) not in PLAIN_KINDS or ";" in url:
            return None
        return MemorySettings(
            url=SecretStr(_of_redis_py(url)), mode="single", timeout_s=self.memory.timeout_s
        )

    @cached_property
    def max_image_bytes(self) -> int:
        """How large the images of one message may be, decoded: with base64 and the text beside
        them they must fit into one message of the history."""
        return min(self.queue.max_image_bytes, self.memory.max_value_bytes // 2)

    @property
    def models(self) -> list[str]:
        """Every model that a job without one of its own may be answered by."""
        profiles = (self.profiles.default, *self.profiles.by_id.values())
        named = {profile.model or self.llm.model for profile in profiles}
        named |= {model for profile in profiles for model in profile.fallback}
        # Two spellings of one name are one model.
        return sorted({full_name(model): model for model in sorted(named, reverse=True)}.values())

    def owners_of(
        self, agent_id: str, user: str | None, key: Owner | None = None
    ) -> tuple[Owner, ...]:
        """Whom a job counts for, with their quotas: its agent; its user where users have one; the
        API key that it came with where that has one. Then its user by name, for usage."""
        agent = owners.agent(agent_id, self.profiles.of(agent_id).quota)
        quota = self.user_quota
        others = (None if user is None or not quota.is_set else owners.user(user, quota), key)
        named = () if user is None else (owners.named(user),)
        return (agent, *(other for other in others if other is not None), *named)

    @cached_property
    def user_quota(self) -> Quota:
        """What each user may have."""
        return self.queue.user_quota

    def listed(self, job: ChatJob) -> Listed:
        """How a job is listed, so that it is found."""
        queue = self.queue
        names = job_records.names_of(job.agent_id, job.session_id, job.user, job.tags or ())
        return Listed(names, round(queue.jobs_kept_s * 1000), queue.max_jobs_kept)

    @cached_property
    def max_envelope_bytes(self) -> int:
        """How large a job may be with all its options."""
        given = self.queue.max_envelope_bytes
        message_bytes = self.queue.max_message_bytes
        return given or largest_envelope_bytes(message_bytes, self.max_image_bytes)

    @cached_property
    def allowed_models(self) -> AllowedModels:
        """Which models a job may name. A worker decides by it."""
        of_agents = dict.fromkeys([*self.models, self.llm.model])
        return AllowedModels(self.queue.allowed_models or (*of_agents,), self.queue.cloud_models)

    @property
    def knows_models(self) -> bool:
        """Whether this process, be it a producer, was told which models a job may name."""
        return bool(self.queue.allowed_models or self.agents.profiles)

    def ttl_of(self, agent_id: str) -> int:
        """How long a session of an agent is kept after its last use, seconds."""
        return self.own_ttl_of(agent_id) or self.memory.default_ttl_s

    def own_ttl_of(self, agent_id: str) -> int:
        """The same, where the agent's profile says it; else 0."""
        given_s = self.profiles.of(agent_id).ttl_s
        return 0 if given_s is None else given_s or UNTIL_ERASED_S

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
        webhooks=checked(WebhookSettings),
    )
    try:
        Connection(settings.memory)
    except InvalidInput as exc:
        raise ConfigurationError(str(exc)) from None
    _ = settings.broker, settings.results
    return settings


def checked(kind: type[S]) -> S:
    """The settings of one package. Raises ConfigurationError: one line, no secret in it."""
    try:
        check_env_file()
    except InvalidInput as exc:
        raise ConfigurationError(str(exc)) from None
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
    is_secret = (
        SecretStr in (field.annotation, *get_args(field.annotation))
        or "@" in value
        or "://" in value
    )
    shown = "" if is_secret else f"={value}"
    return f"{name}{shown}: {reason} ({field.description})"


def _celery_url(memory: MemorySettings, given: SecretStr | None, db_offset: int, name: str) -> str:
    if given is not None:
        url = given.get_secret_value()
        known = BROKER_KINDS if name == BROKER else RESULT_KINDS
        # Kombu and Celery's Sentinel backend take several addresses at once.
        if not all(_kind(part) in known for part in url.split(";")):
            *most, last = (f"{kind}://" for kind in known)
            allowed = f"{', '.join(most)} or {last}"
            raise ConfigurationError(f"{name} must begin with {allowed}, {EXAMPLE_URL}")
        for part in url.split(";"):
            _check_address(part, name)
        return plain_options(url, name)
    try:
        url = memory.url_of_db(db_offset)
    except ValueError as exc:
        raise ConfigurationError(f"{name} must be given: {exc}") from exc
    return plain_options(url, "REDIS_URL")


def _of_redis_py(url: str) -> str:
    """An address of Celery's as redis-py has it, which writes a Unix socket otherwise."""
    if not url.startswith(SOCKET):
        return url
    path, _, options = url.removeprefix(SOCKET).partition("?")
    return f"unix://{path}?{options.replace('virtual_host=', 'db=')}"


def _check_address(url: str, name: str) -> None:
    try:
        check_address(url, name)
    except InvalidInput as exc:
        raise ConfigurationError(str(exc)) from None
    known = OF_SOCKET if url.startswith(SOCKET) else OF_AMQP if "amqp" in _kind(url) else set()
    if not all(option.startswith("ssl_") or option in known for option in option_names(url)):
        # Not which: a password with a question mark in it ends up here, too.
        raise ConfigurationError(
            f"{name} has an option that is not allowed: put user, password, host, port and db "
            f"before the '?'; {ESCAPES}"
        )


def _kind(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""
