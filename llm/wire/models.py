"""Models by their names: which an Ollama has installed (GET /api/tags) and loaded (GET /api/ps),
and what the settings say of single ones. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import orjson

from llm.errors import InvalidReplyError
from llm.wire.requests import check_model_name


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory: its name with the tag, and its window in tokens (0: not told)."""

    name: str
    window_tokens: int


def read_models(body: bytes, *, base_url: str) -> tuple[str, ...]:
    """The names in the answer of /api/tags, each with its tag. Raises InvalidReplyError."""
    try:
        document = orjson.loads(body)
        return tuple(model["name"] for model in document["models"] or ())
    except (orjson.JSONDecodeError, LookupError, TypeError) as exc:
        raise InvalidReplyError(f"{base_url} has no list of models: is it Ollama?") from exc


def read_loaded(body: bytes, *, base_url: str) -> tuple[Loaded, ...]:
    """The models in the answer of /api/ps; one that is still loading is not among them.

    Raises InvalidReplyError.
    """
    try:
        models = orjson.loads(body)["models"] or ()
        return tuple(Loaded(model["name"], _count(model.get("context_length"))) for model in models)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as exc:
        raise InvalidReplyError(f"{base_url} has no list of loaded models: is it Ollama?") from exc


def full_name(model: str) -> str:
    """The name with its tag: without one it means `latest`, as Ollama has it."""
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


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
