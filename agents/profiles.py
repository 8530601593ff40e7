"""Agent profiles: what an agent id stands for."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from agents.errors import InvalidProfiles
from agents.settings import AgentSettings
from agents.slo import Slo
from llm import check_model_name
from memory.priority import Priority
from memory.quotas.owners import UNBOUNDED, Quota
from memory.records.limits import MAX_TTL_S
from webhooks.address import check_url

SUPERVISOR = "supervisor"
FALLBACK_AFTER_S = 30.0
"""How long a job waits for its own model before another one is asked."""
_PLAIN = {
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "extra_forbidden": "is no key that can stand there",
}
_LENGTH = re.compile(r"(\d{1,9})([smhd])")
MOST_UNNAMED = 1000
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TOOL_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"


class ToolSpec(BaseModel):
    """A tool as a profile names it: the dotted path of a function, how long it may take, and
    whether it runs in a process that is killed where it takes longer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    function: Annotated[str, Field(pattern=TOOL_PATH)]
    timeout_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    process: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """How one agent speaks: None means that the setting of the model or of the agents decides.

    `max_history` counts earlier messages that the model is shown; `max_tokens` bounds the reply.
    `tools` are the functions that a worker may run for it.
    With `summary` a worker sums up, when nobody waits, what the model is not shown any more.
    While no server can answer with the model, those of `fallback` are asked instead, in this order,
    once a job has waited for `fallback_after_s`. All users together have the `quota`.
    `webhook` is told how each job has ended that names no other. `slo` is what users are promised.
    `ttl_s` is how long a session is kept after its last use; 0: until it is erased.
    `timeout_s` is how long a turn of a job may run that says nothing of it.
    `priority` is how urgent a job is that does not say so itself.
    """

    agent_id: str
    system_prompt: str | None
    model: str | None
    temperature: float | None
    max_tokens: int | None
    max_history: int
    tools: tuple[ToolSpec, ...] = ()
    summary: bool = False
    fallback: tuple[str, ...] = ()
    fallback_after_s: float = FALLBACK_AFTER_S
    quota: Quota = UNBOUNDED
    webhook: str | None = None
    slo: Slo | None = None
    ttl_s: int | None = None
    timeout_s: float | None = None
    priority: Priority = Priority.NORMAL


def _as_table(named: object) -> object:
    return {"function": named} if isinstance(named, str) else named


def _as_seconds(given: object) -> object:
    if not isinstance(given, str):
        return given
    length = _LENGTH.fullmatch(given)
    if length is None:
        raise ValueError('must be seconds, or a length of time such as "36h" or "30d"')
    return int(length[1]) * _UNITS_S[length[2]]


class _Table(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    system_prompt: str | None = None
    model: Annotated[str, AfterValidator(check_model_name)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_history: Annotated[int, Field(ge=0)] | None = None
    tools: list[Annotated[ToolSpec, BeforeValidator(_as_table)]] | None = None
    summary: bool = False
    fallback: list[Annotated[str, AfterValidator(check_model_name)]] = []
    fallback_after_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = (
        FALLBACK_AFTER_S
    )
    quota: Quota = UNBOUNDED
    webhook: Annotated[str, AfterValidator(check_url)] | None = None
    slo: Slo | None = None
    ttl: Annotated[int, BeforeValidator(_as_seconds), Field(ge=0, le=MAX_TTL_S)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    # Strictly, a text is no member of it.
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL


class _File(BaseModel):
    """The whole TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: _Table = _Table()
    agents: dict[str, _Table] = {}


@dataclass(frozen=True, slots=True)
class Profiles:
    """All agents: `profiles.of("energy")`. An unknown id gets the default profile."""

    default: Profile
    by_id: Mapping[str, Profile]
    _unnamed: dict[str, Profile] = field(default_factory=dict, compare=False, repr=False)
    """Of agents without one of their own, those that were asked for, as a turn does often."""

    @property
    def has_summaries(self) -> bool:
        """Whether any agent's conversations are summed up."""
        return self.default.summary or any(one.summary for one in self.by_id.values())

    @property
    def has_slo(self) -> bool:
        """Whether any agent's users are promised anything."""
        return any(one.slo for one in (self.default, *self.by_id.values()))

    def of(self, agent_id: str) -> Profile:
        """The profile of `agent_id`."""
        known = self.by_id.get(agent_id) or self._unnamed.get(agent_id)
        if known is None:
            if len(self._unnamed) >= MOST_UNNAMED:
                self._unnamed.clear()
            known = self._unnamed[agent_id] = replace(self.default, agent_id=agent_id)
        return known

    @classmethod
    def load(cls, settings: AgentSettings) -> "Profiles":
        """Read the file that the settings name, else the built-in set. Raises InvalidProfiles."""
        text, origin = _read(settings.profiles)
        try:
            file = _File.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as exc:
            raise InvalidProfiles(f"{origin} is not valid TOML: {exc}") from exc
        except ValidationError as exc:
            raise InvalidProfiles(f"{origin}: {_first_problem(exc)}") from exc
        return cls(
            default=_profile("default", file.default, settings),
            by_id={name: _profile(name, table, settings) for name, table in file.agents.items()},
        )


def _read(path: Path | None) -> tuple[str, str]:
    if path is None:
        return files("agents").joinpath("profiles.toml").read_text("utf-8"), "agents/profiles.toml"
    try:
        text = path.read_text("utf-8")
    except OSError as exc:
        raise InvalidProfiles(f"AGENT_PROFILES={path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidProfiles(f"AGENT_PROFILES={path}: it is not UTF-8") from exc
    if text.startswith("\ufeff"):
        raise InvalidProfiles(
            f"AGENT_PROFILES={path}: it starts with a byte-order mark: save it as UTF-8 without one"
        )
    return text, str(path)


def _profile(agent_id: str, table: _Table, settings: AgentSettings) -> Profile:
    is_supervisor = agent_id == SUPERVISOR
    limit = settings.supervisor_max_history if is_supervisor else settings.max_history
    return Profile(
        agent_id=agent_id,
        system_prompt=table.system_prompt.strip() if table.system_prompt else None,
        model=table.model,
        temperature=table.temperature,
        max_tokens=table.max_tokens,
        max_history=limit if table.max_history is None else table.max_history,
        tools=tuple(table.tools or ()),
        summary=table.summary,
        fallback=tuple(table.fallback),
        fallback_after_s=table.fallback_after_s,
        quota=table.quota,
        webhook=table.webhook,
        slo=table.slo,
        ttl_s=table.ttl,
        timeout_s=table.timeout_s,
        priority=table.priority,
    )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    reason = _PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    *_, key = first["loc"]
    if first["type"] == "extra_forbidden" and (
        near := get_close_matches(str(key), [*_Table.model_fields, *ToolSpec.model_fields], n=1)
    ):
        reason += f"; did you mean {near[0]}?"
    if first["type"] == "string_pattern_mismatch" and key == "function":
        reason = "must be the dotted path of a function, such as my_tools.weather.forecast"
    return f"{'.'.join(str(part) for part in first['loc'])}: {reason}"
