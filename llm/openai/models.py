"""What the answer of `GET /v1/models` says of a server's models. Pure."""

from collections.abc import Mapping

import orjson

from llm.errors import InvalidReplyError
from llm.wire.models import count_of

# Where servers name the window: vLLM and SGLang; LM Studio; OpenRouter.
_WINDOWS = ("max_model_len", "loaded_context_length", "max_context_length", "context_length")


def read_served(body: bytes, *, base_url: str) -> dict[str, int]:
    """The windows in tokens by the names of the models, aliases too; 0 where none is reported.

    Raises InvalidReplyError.
    """
    try:
        entries = orjson.loads(body)["data"] or ()
        served = {}
        for entry in entries:
            aliases = entry.get("aliases")
            for name in (entry["id"], *(aliases if isinstance(aliases, list) else ())):
                served[str(name)] = _window(entry)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise InvalidReplyError(
            f"{base_url} has no list of models at /v1/models: does it speak OpenAI's protocol?"
        ) from None
    return served


def _window(entry: Mapping[str, object]) -> int:
    # llama.cpp's own: the window of a slot, not that of the whole server.
    meta = entry.get("meta")
    if isinstance(meta, Mapping) and count_of(meta.get("n_ctx")):
        return count_of(meta["n_ctx"])
    return next((count for name in _WINDOWS if (count := count_of(entry.get(name)))), 0)
