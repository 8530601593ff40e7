"""One call for vectors, of one server."""

from contextlib import aclosing

from llm.errors import ResponseTooLargeError
from llm.http.client import OllamaClient
from llm.wire.embed import Embedded, EmbedRequest
from llm.wire.timeouts import Timeouts

MOST_BYTES = 8 * 1024 * 1024
"""Of one call's answer, which is read in one go on the loop: 64 vectors of 6000 numbers."""


async def embed(client: OllamaClient, request: EmbedRequest, *, timeouts: Timeouts) -> Embedded:
    """The vectors of all texts. Cancelling closes the connection, which stops the model.

    Nothing comes before all is done, so `first_token_s` bounds the whole, with the loading of the
    model. Raises an LLMError. Repeating a call asks the model again.
    """
    dialect, body = client.dialect, bytearray()
    asked = dialect.embed_body(request)
    answer = client.read(dialect.embed_path, asked, model=request.model, timeouts=timeouts)
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            body += chunk
            check_size(len(body), min(client.max_response_bytes, MOST_BYTES))
    return dialect.read_embedded(bytes(body), request, client.base_url)


def check_size(size: int, most: int) -> None:
    """Raise ResponseTooLargeError for more bytes of vectors than are read."""
    if size > most:
        named = " (LLM_MAX_RESPONSE_BYTES)" if most != MOST_BYTES else ""
        raise ResponseTooLargeError(
            f"the vectors are over {most} bytes{named}: ask for fewer at a time"
        )
