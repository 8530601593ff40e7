"""Vectors as OpenAI's servers make them: `POST /v1/embeddings`. No I/O."""

import orjson

from llm.errors import InvalidReplyError
from llm.wire.embed import Embedded, EmbedRequest, vectors_of, written
from llm.wire.models import count_of


def embed_body(request: EmbedRequest) -> bytes:
    """The JSON body. Raises InvalidRequestError."""
    return written(
        {
            "model": request.model,
            "input": list(request.texts),
            "encoding_format": "float",
            "dimensions": request.dimensions,
        }
    )


def read_data(body: bytes, request: EmbedRequest, base_url: str) -> Embedded:
    """The answer, in the order of the texts. Raises InvalidReplyError."""
    try:
        reply = orjson.loads(body)
        found = sorted(reply["data"], key=lambda one: one["index"])
        rows = [one["embedding"] for one in found]
        tokens = count_of((reply.get("usage") or {}).get("prompt_tokens"))
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        raise InvalidReplyError(f"{base_url} does not answer /v1/embeddings as OpenAI") from None
    return vectors_of(rows, tokens, request, base_url)
