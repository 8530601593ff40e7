"""A request for vectors, `POST /api/embed`, and its answer. No I/O."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from llm.errors import InvalidReplyError, InvalidRequestError
from llm.wire.address import label_of
from llm.wire.models import count_of
from llm.wire.requests import check_model_name


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """One call of a model that makes vectors. Checked when made: InvalidRequestError.

    A text over the model's window is a ContextOverflowError: nothing is cut silently. `dimensions`
    asks for shorter vectors; a model that cannot make them gives those that it has. `options` are
    as in a chat to the same model, or each change loads it anew. The texts are not in the repr.
    """

    model: str
    texts: tuple[str, ...] = field(repr=False)
    dimensions: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    keep_alive: str | float | None = None

    def __post_init__(self) -> None:
        check_model_name(self.model)
        # A text without a letter gets no vector of Ollama where it is the only one.
        if not self.texts or not all(self.texts):
            raise InvalidRequestError("a text is empty, or all are missing")
        if self.dimensions is not None and self.dimensions < 1:
            raise InvalidRequestError("dimensions must be 1 or more")

    def body(self) -> bytes:
        """The JSON body of /api/embed. Raises InvalidRequestError."""
        body: dict[str, object] = {
            "model": self.model,
            "input": list(self.texts),
            "truncate": False,
            "dimensions": self.dimensions,
            "options": dict(self.options) or None,
            "keep_alive": self.keep_alive,
        }
        return written(body)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a request, in the order of its texts, as floats of 32 bits; `tokens` is what
    the model counted of all texts, `server` who made them."""

    vectors: tuple["array[float]", ...] = field(repr=False)
    tokens: int
    server: str = ""


def written(body: Mapping[str, object]) -> bytes:
    """A body as JSON, without what is None. Raises InvalidRequestError."""
    try:
        return orjson.dumps({name: value for name, value in body.items() if value is not None})
    except TypeError:
        raise InvalidRequestError(
            "the request cannot be written as JSON: text must be valid Unicode"
        ) from None


def read_embedded(body: bytes, request: EmbedRequest, base_url: str) -> Embedded:
    """The answer of /api/embed. Raises InvalidReplyError."""
    try:
        reply = orjson.loads(body)
        rows, tokens = reply["embeddings"], count_of(reply.get("prompt_eval_count"))
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise _odd(base_url) from None
    return vectors_of(rows, tokens, request, base_url)


def vectors_of(rows: object, tokens: int, request: EmbedRequest, base_url: str) -> Embedded:
    """The rows of an answer as vectors. Raises InvalidReplyError for anything but one for each
    text, all of one length."""
    try:
        vectors = tuple(array("f", row) for row in rows)  # type: ignore[attr-defined]  # what it is not raises
    except (TypeError, ValueError, OverflowError):
        raise _odd(base_url) from None
    lengths = {len(vector) for vector in vectors}
    if len(vectors) != len(request.texts) or len(lengths) != 1 or 0 in lengths:
        raise _odd(base_url)
    return Embedded(vectors, tokens, label_of(base_url))


def _odd(base_url: str) -> InvalidReplyError:
    return InvalidReplyError(f"{base_url} does not answer with a vector for each text")
