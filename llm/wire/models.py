"""Models by their names: what an Ollama says of them, and what the settings say. Pure.

The answers of GET /api/tags (installed), GET /api/ps (loaded) and POST /api/show (details).
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

import orjson

from llm.errors import InvalidReplyError
from llm.wire.requests import check_model_name

T = TypeVar("T")

MOST_MODELS = 256

# The parameters of a Modelfile come as lines of text (docs/ollama.md, Lookups).
_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)


class RecentlyUsed(OrderedDict[str, T]):
    """Values by model, at most `MOST_MODELS`; the one written longest ago goes first.

    A job may name any model, and memory is bounded.
    """

    def __setitem__(self, name: str, value: T) -> None:
        super().__setitem__(name, value)
        self.move_to_end(name)
        if len(self) > MOST_MODELS:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory: its name with the tag, and its window in tokens (0: not reported)."""

    name: str
    window_tokens: int


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a model is: the length it was trained for and the window of its Modelfile, in tokens,
    and what it can do, in Ollama's words. None where the server does not say."""

    trained_tokens: int | None = None
    num_ctx: int | None = None
    capabilities: frozenset[str] | None = None


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
        models = orjson.loads(body)["models"] or ()
        return tuple(
            Loaded(model["name"], count_of(model.get("context_length"))) for model in models
        )
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise InvalidReplyError(f"{base_url} has no list of loaded models: is it Ollama?") from None


def read_details(body: bytes) -> ModelDetails:
    """What an answer of /api/show says. Raises InvalidReplyError.

    Servers before 0.6.4 name no capabilities.
    """
    try:
        document = orjson.loads(body)
        facts = document.get("model_info") or {}
        trained = count_of(facts.get(f"{facts.get('general.architecture')}.context_length"))
        num_ctx = _NUM_CTX.search(str(document.get("parameters") or ""))
        named = document.get("capabilities")
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        raise InvalidReplyError("no description of a model: is it Ollama?") from None
    words = named if isinstance(named, list) else ()
    return ModelDetails(
        trained or None,
        int(num_ctx.group(1)) if num_ctx else None,
        frozenset(word for word in words if isinstance(word, str)) or None,
    )


def count_of(value: object) -> int:
    """A count as Ollama sends it; 0 where it is missing or no count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def full_name(model: str) -> str:
    """The name with its tag: without one it means `latest`, as Ollama has it."""
    # Only behind the last slash: the port of a registry has a colon too.
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def is_installed(model: str, installed: tuple[str, ...]) -> bool:
    """Whether `model` is among the names."""
    return full_name(model) in installed


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
