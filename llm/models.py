"""Which models an Ollama has installed, as GET /api/tags tells. Pure."""

import orjson

from llm.errors import InvalidReplyError


def read_models(body: bytes, *, base_url: str) -> tuple[str, ...]:
    """The names in the answer of /api/tags, each with its tag. Raises InvalidReplyError."""
    try:
        document = orjson.loads(body)
        return tuple(model["name"] for model in document["models"] or ())
    except (orjson.JSONDecodeError, LookupError, TypeError) as exc:
        raise InvalidReplyError(f"{base_url} has no list of models: is it Ollama?") from exc


def is_installed(model: str, installed: tuple[str, ...]) -> bool:
    """Whether `model` is among the names; without a tag it means `latest`, as Ollama has it."""
    return (model if ":" in model else f"{model}:latest") in installed
