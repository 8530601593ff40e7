"""Which tools a request offers: the agent's own, and functions that the client runs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from gateway.errors import ApiError
from gateway.responses.shape import SERVER_LABEL

Tools = Sequence[str | Mapping[str, JsonValue]]
_OF_FUNCTION = frozenset({"type", "name", "description", "parameters", "strict"})
_OF_OWN = frozenset({"type", "server_label", "allowed_tools", "require_approval"})


@dataclass(frozen=True, slots=True)
class Offer:
    """The names of the agent's own tools (None: all that it has), and the client's functions."""

    names: list[str] | None = None
    functions: list[Mapping[str, JsonValue]] = field(default_factory=list)


def offer_of(tools: Tools | None, choice: str | Mapping[str, JsonValue] | None) -> Offer:
    """What may be called. A request that lists tools offers these only. Raises ApiError for what
    no model can be held to."""
    if choice == "none":
        return Offer(names=[])
    if choice not in (None, "auto"):
        raise ApiError(
            400,
            "tool_choice must be auto or none: no model here can be made to call a function.",
            param="tool_choice",
            code="unsupported_parameter",
        )
    if tools is None:
        return Offer()
    names: list[str] | None = []
    functions: list[Mapping[str, JsonValue]] = []
    for at, tool in enumerate(tools):
        match tool:
            case str():
                names = None if names is None else [*names, tool]
            case {"type": "function"}:
                functions.append(_function(tool, f"tools[{at}]"))
            case {"type": "mcp", "server_label": label} if label == SERVER_LABEL:
                own = _own(tool, f"tools[{at}]")
                names = None if names is None or own is None else [*names, *own]
            case _:
                raise _unsupported(f"tools[{at}]")
    return Offer(names, functions)


def _function(tool: Mapping[str, JsonValue], param: str) -> Mapping[str, JsonValue]:
    _check_known(tool, _OF_FUNCTION, param)
    if not isinstance(tool.get("name"), str):
        raise ApiError(400, "A function needs a name.", param=f"{param}.name")
    return {name: tool[name] for name in tool if name != "type" and tool[name] is not None}


def _own(tool: Mapping[str, JsonValue], param: str) -> list[str] | None:
    """The agent's own tools, as OpenAI names those of a server."""
    _check_known(tool, _OF_OWN, param)
    if tool.get("require_approval") not in (None, "never"):
        wrong = "The agent's tools run without approval: require_approval must be never."
        raise ApiError(400, wrong, param=f"{param}.require_approval")
    allowed = tool.get("allowed_tools")
    if isinstance(allowed, Mapping) and allowed.keys() == {"tool_names"}:
        allowed = allowed["tool_names"]
    if allowed is None:
        return None
    if isinstance(allowed, list) and all(isinstance(name, str) for name in allowed):
        return [str(name) for name in allowed]
    raise ApiError(400, "allowed_tools must be a list of names.", param=f"{param}.allowed_tools")


def _check_known(tool: Mapping[str, JsonValue], known: frozenset[str], param: str) -> None:
    unknown = next((name for name in tool if name not in known and tool[name] is not None), None)
    if unknown is not None:
        wrong = f"{unknown[:64]!r} is not supported of such a tool."
        raise ApiError(400, wrong, param=param, code="unsupported_parameter")


def _unsupported(param: str) -> ApiError:
    return ApiError(
        400,
        "A tool is the name of one of the agent's own, or a function that the client runs.",
        param=param,
        code="unsupported_parameter",
    )
