"""What /api/tags, /api/ps, /api/show and /api/version say (docs/ollama.md, Lookups). Pure."""

import hashlib
import time
from collections.abc import Iterable, Mapping

from sandbox.ollama import gotime
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.records import Profile
from sandbox.ollama.runners import DEFAULT_WINDOW_TOKENS, Runner
from sandbox.ollama.scenarios import SCENARIOS, Manner, Scenario

INSTALLED = (
    "qwen2.5:0.5b",
    *(f"{one.name}:latest" for one in SCENARIOS.values() if one.is_installed),
)
"""The models that /api/tags lists at the start; others join when they are first named."""

MODIFIED_S = 1_767_225_600
"""When every model was made, in seconds since 1970."""

_MODIFIED_AT = gotime.timestamp(MODIFIED_S * 1_000_000_000)
_SIZE_BYTES = 397_821_319
_LATEST_NS = 9_000_000_000_000_000_000
_VERSIONS: dict[Profile, str] = {"0.33": "0.33.0", "0.40": "0.40.12"}
_DETAILS: JsonObject = {
    "parent_model": "",
    "format": "gguf",
    "family": "stand-in",
    "families": ["stand-in"],
    "parameter_size": "494.03M",
    "quantization_level": "Q4_K_M",
}


def version(profile: Profile) -> JsonObject:
    """GET /api/version."""
    return {"version": _VERSIONS[profile]}


def tags(models: Iterable[str]) -> JsonObject:
    """GET /api/tags."""
    return {"models": [_tag(model) for model in models]}


def _tag(model: str) -> JsonValue:
    return {
        "name": full_name(model),
        "model": full_name(model),
        "modified_at": _MODIFIED_AT,
        "size": _SIZE_BYTES,
        "digest": digest(model),
        "details": _DETAILS,
    }


def processes(loaded: Mapping[str, Runner]) -> JsonObject:
    """GET /api/ps."""
    return {"models": [_process(model, runner) for model, runner in loaded.items()]}


def _process(model: str, runner: Runner) -> JsonValue:
    left_s = min(runner.expires_s - time.monotonic(), gotime.FOR_EVER_S)
    expires_ns = min(time.time_ns() + int(left_s * 1e9), _LATEST_NS)
    return {
        "name": full_name(model),
        "model": full_name(model),
        "size": _SIZE_BYTES,
        "digest": digest(model),
        "details": _DETAILS,
        "expires_at": gotime.timestamp(expires_ns),
        "size_vram": 0,
        "context_length": runner.window_tokens,
    }


def show(model: str, scenario: Scenario, profile: Profile) -> JsonObject:
    """POST /api/show."""
    window_tokens = scenario.window_tokens or 0
    named: JsonObject = {"capabilities": [*capabilities(scenario)]}
    shown: JsonObject = {
        "modelfile": f"FROM {model}\n",
        "template": "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {
            "general.architecture": "stand-in",
            # What it was trained for; Ollama mostly loads a model with less.
            "stand-in.context_length": max(window_tokens, DEFAULT_WINDOW_TOKENS),
        },
        **(named if scenario.names_abilities else {}),
        "modified_at": _MODIFIED_AT,
    }
    if profile == "0.40" and can_think(scenario):
        shown["thinking"] = {"values": ["low", "medium", "high", "max"], "default": "medium"}
    return shown


def capabilities(scenario: Scenario) -> list[str]:
    """What the model can do, in Ollama's words."""
    if not scenario.can_chat:
        return ["embedding"]
    return [
        "completion",
        *(["tools"] if scenario.has_tools else []),
        *(["thinking"] if can_think(scenario) else []),
        *(["vision"] if scenario.can_see else []),
    ]


def can_think(scenario: Scenario) -> bool:
    """Whether the model has a thinking mode."""
    return scenario.manner is Manner.THINKING


def full_name(model: str) -> str:
    """The name with its tag, `latest` if it has none."""
    return model if ":" in model else f"{model}:latest"


def digest(model: str) -> str:
    """The model's digest, made up of its name."""
    return hashlib.sha256(full_name(model).encode(errors="replace")).hexdigest()
