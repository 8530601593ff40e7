"""Models by their names: what an Ollama says of them, and what the settings say. Pure.

The answers of GET /api/tags (installed), GET /api/ps (loaded) and POST /api/show (details). Names
are compared by `full_name` and in no other way, and sent as they were given: versions before 0.30
do not fold them.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

import orjson

from llm.errors import InvalidReplyError
from llm.wire.requests import check_model_name

T = TypeVar("T")

MOST_MODELS = 256

QWEN_VL_IMAGE_TOKENS = 1024
_QWEN_VL = re.compile(r"qwen.*vl")

DEFAULT_REGISTRY = "registry.ollama.ai/"

# The parameters of a Modelfile come as lines of text (docs/ollama.md, Lookups).
_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
# The file of the weights, by which Ollama keys its runners (docs/ollama.md, Loading).
_WEIGHTS = re.compile(r"^FROM\s+\S*(sha256[-:][0-9a-f]{64})\s*$", re.MULTILINE)
# Go writes up to nine digits of a second, Python reads six.
_PARTS_OF_SECONDS = re.compile(r"(\.\d{6})\d+")


class RecentlyUsed(OrderedDict[str, T]):
    """Values by `full_name`, at most `MOST_MODELS`; the one written longest ago goes first.

    A job may name any model, and memory is bounded.
    """

    def __setitem__(self, model: str, value: T) -> None:
        name = full_name(model)
        super().__setitem__(name, value)
        self.move_to_end(name)
        if len(self) > MOST_MODELS:
            self.popitem(last=False)

    def __contains__(self, model: object) -> bool:
        return isinstance(model, str) and super().__contains__(full_name(model))

    def of(self, model: str) -> T | None:
        """The value of a model; None if it has none."""
        return self.get(full_name(model))

    def forget(self, model: str) -> T | None:
        """Remove the value of a model, and return it."""
        return self.pop(full_name(model), None)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory: its name with the tag, and its window in tokens (0: not reported).

    `expires_s` is when Ollama drops it, in seconds since 1970 by the server's clock (None: not
    reported). It lies in the past while the model answers.
    """

    name: str
    window_tokens: int
    expires_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a model is: the length it was trained for and the window of its Modelfile, in tokens,
    and what it can do, in Ollama's words. None where the server does not say.

    `weights` names the file of its weights: models that share it share a place in memory.
    `is_remote`: another server answers for it, and it is never in memory.
    """

    trained_tokens: int | None = None
    num_ctx: int | None = None
    capabilities: frozenset[str] | None = None
    weights: str | None = None
    is_remote: bool = False
    image_tokens: int | None = None
    """The least that it counts for an image."""


def read_models(body: bytes, *, base_url: str) -> tuple[str, ...]:
    """The names in the answer of /api/tags, each with its tag. Raises InvalidReplyError."""
    try:
        document = orjson.loads(body)
        return tuple(model["name"] for model in document["models"] or ())
    except (orjson.JSONDecodeError, LookupError, TypeError):
        raise InvalidReplyError(f"{base_url} has no list of models: is it Ollama?") from None


def read_loaded(body: bytes, *, base_url: str) -> tuple[Loaded, ...]:
    """The models in the answer of /api/ps; one that is still loading is not among them.

    Raises InvalidReplyError.
    """
    try:
        return tuple(map(_loaded, orjson.loads(body)["models"] or ()))
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise InvalidReplyError(f"{base_url} has no list of loaded models: is it Ollama?") from None


def _loaded(model: Mapping[str, object]) -> Loaded:
    name = model["name"]
    if not isinstance(name, str):
        raise TypeError
    window_tokens = count_of(model.get("context_length"))
    return Loaded(name, window_tokens, _seconds(model.get("expires_at")))


def _seconds(moment: object) -> float | None:
    """Seconds since 1970 of a time as Go writes it; None where it is none."""
    if not isinstance(moment, str):
        return None
    try:
        return datetime.fromisoformat(_PARTS_OF_SECONDS.sub(r"\1", moment)).timestamp()
    except (ValueError, OverflowError):
        return None


def read_details(body: bytes) -> ModelDetails:
    """What an answer of /api/show says. Raises InvalidReplyError.

    Servers before 0.6.4 name no capabilities.
    """
    try:
        document = orjson.loads(body)
        facts = document.get("model_info") or {}
        trained = count_of(facts.get(f"{facts.get('general.architecture')}.context_length"))
        num_ctx = _NUM_CTX.search(str(document.get("parameters") or ""))
        weights = _WEIGHTS.search(str(document.get("modelfile") or ""))
        named = document.get("capabilities")
        is_remote = bool(document.get("remote_model") or document.get("remote_host"))
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        raise InvalidReplyError("no description of a model: is it Ollama?") from None
    words = named if isinstance(named, list) else ()
    return ModelDetails(
        trained or None,
        int(num_ctx.group(1)) if num_ctx else None,
        frozenset(word for word in words if isinstance(word, str)) or None,
        weights.group(1) if weights else None,
        is_remote,
        # llm/llama_server.go:1032
        QWEN_VL_IMAGE_TOKENS if _QWEN_VL.match(str(facts.get("general.architecture"))) else None,
    )


def count_of(value: object) -> int:
    """A count as Ollama sends it; 0 where it is missing or no count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


@lru_cache(maxsize=4096)
def full_name(model: str) -> str:
    """The one name of a model: two names are the same model's if this is equal.

    Any case, `library/`, `registry.ollama.ai/` and `:local` make no difference, and no tag means
    `latest`, as Ollama has it (types/model/name.go, internal/modelref).
    """
    name = model.strip().lower().removesuffix(":local")
    name = name.removeprefix(DEFAULT_REGISTRY).removeprefix("library/")
    # Only behind the last slash: the port of a registry has a colon too.
    path, slash, last = name.rpartition("/")
    named, colon, tag = last.partition(":")
    # `x:7b:cloud` is another way to write `x:7b-cloud`.
    return f"{path}{slash}{named}:{tag.replace(':', '-') if colon else 'latest'}"


def is_same(model: str, other: str) -> bool:
    """Whether two names are the same model's."""
    return full_name(model) == full_name(other)


def is_cloud(model: str) -> bool:
    """Whether the name asks for a model of Ollama's cloud, which no server has in memory."""
    tag = full_name(model).rpartition(":")[2]
    return tag == "cloud" or tag.endswith("-cloud")


def is_installed(model: str, installed: Iterable[str]) -> bool:
    """Whether `model` is among the names."""
    return any(is_same(model, one) for one in installed)


def find_loaded(
    model: str, loaded: Iterable[Loaded], weights_of: Mapping[str, str]
) -> Loaded | None:
    """What is in memory for `model`: itself, else a model of the same weights.

    /api/ps has only the name that loaded them. `weights_of` has the weights that are known, by
    full names.
    """
    entries = {full_name(one.name): one for one in loaded}
    if (own := entries.get(full_name(model))) is not None:
        return own
    weights = weights_of.get(full_name(model))
    same = (one for name, one in entries.items() if weights and weights_of.get(name) == weights)
    return next(same, None)


@lru_cache(maxsize=16)
def read_numbers(text: str, least: int, most: int) -> Mapping[str, int]:
    """`model=number, model=number` by full names. Raises ValueError that says what is wrong."""
    numbers = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        model, _, number = (word.strip() for word in part.rpartition("="))
        if not model or not number.isdecimal() or not least <= int(number) <= most:
            raise ValueError(f"{part!r} is not model=number, with a number from {least} to {most}")
        numbers[full_name(check_model_name(model))] = int(number)
    # All callers get the cached one: none may change it.
    return MappingProxyType(numbers)


@dataclass(frozen=True, slots=True)
class ByModel:
    """A setting of numbers by models, each from `least` to `most`."""

    least: int
    most: int

    def check(self, text: str) -> str:
        """`text`, if it can be read. Raises ValueError that says what is wrong."""
        read_numbers(text, self.least, self.most)
        return text

    def number(self, text: str, model: str) -> int | None:
        """The number of `model` in a `text` that was checked, None if it has none of its own."""
        return read_numbers(text, self.least, self.most).get(full_name(model))
