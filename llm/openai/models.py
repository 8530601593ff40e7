"""What the answer of `GET /v1/models` says of a server's models. Pure."""

from collections.abc import Mapping

import orjson

from llm.errors import InvalidReplyError
from llm.wire.models import Loaded, count_of

# Where servers name the window: vLLM and SGLang; LM Studio; OpenRouter.
_WINDOWS = ("max_model_len", "loaded_context_length", "max_context_length", "context_length")


def read_served(body: bytes, *, base_url: str) -> tuple[Loaded, ...]:
    """The models that a server has, by name and by alias, each with its window.

    Raises InvalidReplyError.
    """
    try:
        entries = orjson.loads(body)["data"] or ()
        return tuple(
            Loaded(str(name), _window(entry))
            for entry in entries
            for name in (entry["id"], *(entry.get("aliases") or ()))
        )
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise InvalidReplyError(
            f"{base_url} has no list of models at /v1/models: is it OpenAI-compatible?"
        ) from None


def read_names(body: bytes, *, base_url: str) -> tuple[str, ...]:
    """The names of the models that a server has. Raises InvalidReplyError."""
    return tuple(one.name for one in read_served(body, base_url=base_url))


def _window(entry: Mapping[str, object]) -> int:
    # llama.cpp's own: the window of a slot, not that of the whole server.
    meta = entry.get("meta")
    if isinstance(meta, Mapping) and count_of(meta.get("n_ctx")):
        return count_of(meta["n_ctx"])
    return next((count for name in _WINDOWS if (count := count_of(entry.get(name)))), 0)
