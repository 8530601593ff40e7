"""Names that look like settings and are none: OLLAMA_MODLE does nothing, so it is said.

Anything unknown in `.env` is named. A variable of the environment may be another program's: it is
named where only Griot's begin so, or where it is nearly one of Griot's.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from pydantic_settings import BaseSettings

from agents import AgentSettings
from gateway.settings import GatewaySettings
from llm import LLMSettings
from memory import MemorySettings, is_service_port
from memory.env_file import ENV_FILE
from memory.settings import AuditSettings
from tasks.process.crash_points import SWITCH, VARIABLE
from tasks.settings import QueueSettings
from webhooks.settings import WebhookSettings
from worker.settings import FlowerAccess, MetricsSettings, WorkerSettings

CLASSES: tuple[type[BaseSettings], ...] = (
    *(MemorySettings, AuditSettings, LLMSettings, AgentSettings),
    *(QueueSettings, WorkerSettings, MetricsSettings),
    *(FlowerAccess, GatewaySettings, WebhookSettings),
)
OF_COMPOSE = (
    *("FLOWER_MAX_TASKS", "FLOWER_PORT", "FLOWER_READ_ONLY", "GRIOT_VERSION"),
    *("COMPOSE_PROJECT_NAME", "GRIOT_NETWORK", "OLLAMA_CPUS", "OLLAMA_MEMORY"),
    *("GATEWAY_REPLICAS", "WORKER_REPLICAS", "WORKER_STOP_GRACE"),
    *("GRAFANA_PORT", "PROMETHEUS_PORT"),
    *(
        f"REDIS_{user}_PASSWORD"
        for user in (
            *("WORKER", "MAINTENANCE", "BEAT", "FLOWER", "GATEWAY"),
            *("OPERATOR", "PRODUCER", "CLIENT", "MEMORY"),
        )
    ),
)
"""What docker-compose.yml reads from the same file."""

OF_EXAMPLES = ("WEB_HOSTS", "WEB_USERS")
OF_OLLAMA = (
    *("OLLAMA_CONTEXT_LENGTH", "OLLAMA_DEBUG", "OLLAMA_FLASH_ATTENTION", "OLLAMA_GPU_OVERHEAD"),
    *("OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "OLLAMA_KV_CACHE_TYPE", "OLLAMA_LLM_LIBRARY"),
    *("OLLAMA_LOAD_TIMEOUT", "OLLAMA_MAX_LOADED_MODELS", "OLLAMA_MAX_QUEUE", "OLLAMA_MODELS"),
    *("OLLAMA_MULTIUSER_CACHE", "OLLAMA_NEW_ENGINE", "OLLAMA_NOHISTORY", "OLLAMA_NOPRUNE"),
    *("OLLAMA_ORIGINS", "OLLAMA_SCHED_SPREAD", "OLLAMA_TMPDIR"),
)
"""Ollama's own variables, which may stand beside ours."""

ONLY_OURS = ("CHAT_", "HISTORY_", "LLM_", "SUPERVISOR_")
OF_OTHERS = ("COMPOSE_", "DOCKER_", "FLOWER_", "OTEL_")
"""What docker compose, Flower and OpenTelemetry read: their options are too many to know."""

NEAR = 0.8
"""How alike two names are, from 0 to 1, for the one to be a slip for the other."""
A_SLIP = 2
"""How many letters more or less a slip has: PROD_REDIS_HOST is meant to be another name."""


def known_names() -> frozenset[str]:
    """Every name that means something beside Griot."""
    ours = {str(field.validation_alias) for kind in CLASSES for field in kind.model_fields.values()}
    others = (*OF_COMPOSE, *OF_EXAMPLES, *OF_OLLAMA, SWITCH, VARIABLE)
    return frozenset(ours.union(others))


def warnings_of_unknown(environment: Mapping[str, str] = os.environ) -> list[str]:
    """One line for each name that is nearly a setting, and one for all others; no value in them."""
    known = known_names()
    given = _unknown(environment.items(), known)
    of_environment = [name for name in given if name.startswith(ONLY_OURS) or _is_slip(name, known)]
    return [
        *_told(_unknown(_of_file(), known), known, f"in {ENV_FILE}"),
        *_told(of_environment, known, "in the environment"),
    ]


def _of_file() -> Iterable[tuple[str, str | None]]:
    path = Path(ENV_FILE)
    return dotenv_values(path, interpolate=False).items() if path.is_file() else ()


def _unknown(given: Iterable[tuple[str, str | None]], known: frozenset[str]) -> list[str]:
    """In upper case, as settings are read in any."""
    names = {name.upper() for name, value in given if not is_service_port(name, value)} - known
    return sorted(name for name in names if not name.startswith(OF_OTHERS) or _nearest(name, known))


def _told(names: Iterable[str], known: frozenset[str], where: str) -> Iterator[str]:
    strange = []
    for name in names:
        nearest = _nearest(name, known)
        if nearest is None:
            strange.append(name)
        else:
            yield f"{name} {where} is not a setting and has no effect; did you mean {nearest}?"
    if strange:
        are = "is not a setting" if len(strange) == 1 else "are not settings"
        yield f"{', '.join(strange)} {where} {are} of Griot and ignored"


def _is_slip(name: str, known: frozenset[str]) -> bool:
    nearest = _nearest(name, known)
    return nearest is not None and abs(len(nearest) - len(name)) <= A_SLIP


def _nearest(name: str, known: frozenset[str]) -> str | None:
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=NEAR)), None)
