"""What a request's `model` stands for: an agent, or a model that the agent `default` asks."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter

from gateway.access import Caller, Looker, Shared
from gateway.errors import ApiError
from llm import check_model_name
from llm.errors import InvalidRequestError
from memory.ids import is_id
from tasks.errors import InvalidJob
from tasks.limits import ANY_MODEL
from tasks.process.configuration import Settings

AGENT = "agent:"
DEFAULT_AGENT = "default"

router = APIRouter(tags=["models"])


@dataclass(frozen=True, slots=True)
class Target:
    """The agent that answers; `model`: the one that is asked instead of the agent's own."""

    agent_id: str
    model: str | None = None


def target_of(settings: Settings, caller: Caller, named: str) -> Target:
    """What `model` in a request stands for.

    `agent:x` is the agent x; a name is an agent's of the profiles, or else an allowed model's.
    Raises ApiError: 404 for what is neither, 403 for what the caller may not use.
    """
    agent_id = named.removeprefix(AGENT)
    is_agent = named.startswith(AGENT) or named in (*settings.profiles.by_id, DEFAULT_AGENT)
    if is_agent and is_id(agent_id):
        caller.check_agent(agent_id)
        return Target(agent_id)
    try:
        if is_agent:
            raise InvalidJob("no agent has such an id")
        check_model_name(named)
        settings.allowed_models.check(named)
    except (InvalidRequestError, InvalidJob):
        missing = f"The model {named[:128]!r} does not exist, or may not be used."
        raise ApiError(404, missing, code="model_not_found", param="model") from None
    caller.check_agent(DEFAULT_AGENT)
    return Target(DEFAULT_AGENT, named)


def offered(settings: Settings, caller: Caller) -> dict[str, str]:
    """The names that a request's `model` may have, each with who owns it."""
    agents = {name: "griot" for name in (*settings.profiles.by_id, DEFAULT_AGENT)}
    among = caller.agents
    found = {name: whose for name, whose in agents.items() if among is None or name in among}
    if among is None or DEFAULT_AGENT in among:
        names = (name for name in settings.allowed_models.names if name != ANY_MODEL)
        found = {**{name: "ollama" for name in names}, **found}
    return found


@router.get("/v1/models")
async def list_models(gateway: Shared, caller: Looker) -> dict[str, object]:
    """The agents and models that the caller may name."""
    found = offered(gateway.griot, caller)
    return {"object": "list", "data": [_model(name, whose) for name, whose in found.items()]}


@router.get("/v1/models/{name:path}")
async def retrieve_model(name: str, gateway: Shared, caller: Looker) -> Mapping[str, object]:
    """One of them."""
    target = target_of(gateway.griot, caller, name)
    return _model(name, "griot" if target.model is None else "ollama")


@router.get("/v1/agents")
async def list_agents(gateway: Shared, caller: Looker) -> dict[str, object]:
    """The agents that the caller may use, with the model and the tools of each."""
    profiles, llm = gateway.griot.profiles, gateway.griot.llm
    names = [name for name, whose in offered(gateway.griot, caller).items() if whose == "griot"]
    found = [(name, profiles.of(name)) for name in names]
    data = [
        {
            "id": name,
            "object": "agent",
            "model": profile.model or llm.model,
            "tools": [tool.function.rpartition(".")[2] for tool in profile.tools],
            "max_history": profile.max_history,
        }
        for name, profile in found
    ]
    return {"object": "list", "data": data}


def _model(name: str, owned_by: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owned_by}
