"""What a server speaks: Ollama's own protocol or OpenAI's. All else is the same for both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llm.openai.embed import embed_body, read_data
from llm.openai.models import read_names, read_served
from llm.openai.reply import OpenAIReply
from llm.openai.requests import chat_body
from llm.wire.address import DialectName
from llm.wire.embed import Embedded, EmbedRequest, read_embedded
from llm.wire.models import Loaded, read_loaded, read_models
from llm.wire.records import Delta, Final
from llm.wire.reply import ReplyReader
from llm.wire.requests import ChatRequest


class Reader(Protocol):
    """Reads one reply: bytes in, deltas out, at its end a Final or an LLMError."""

    @property
    def is_done(self) -> bool:
        """Whether the reply is whole or has failed: nothing that follows matters."""

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas of a chunk. Raises an LLMError for bytes that are no reply."""

    def finish(self) -> list[Delta]:
        """The deltas of what is left at a clean end of the bytes."""

    def final(self) -> Final:
        """The end of the reply. Raises the LLMError that it has failed with."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a chat is asked and read; the paths stand behind the server's address."""

    name: DialectName
    chat_path: str
    health_path: str
    installed_path: str
    read_installed: Callable[..., tuple[str, ...]]
    """Of a body, and of the server's address by name."""
    loaded_path: str
    read_loaded: Callable[..., tuple[Loaded, ...]]
    body: Callable[[ChatRequest], bytes]
    reader: Callable[[ChatRequest, str, int], Reader]
    """Of a request, the server's address, and the most bytes that are read."""
    embed_path: str
    embed_body: Callable[[EmbedRequest], bytes]
    read_embedded: Callable[[bytes, EmbedRequest, str], Embedded]


OLLAMA = Dialect(
    name="ollama",
    chat_path="/api/chat",
    health_path="/api/version",
    installed_path="/api/tags",
    read_installed=read_models,
    loaded_path="/api/ps",
    read_loaded=read_loaded,
    body=ChatRequest.body,
    reader=ReplyReader,
    embed_path="/api/embed",
    embed_body=EmbedRequest.body,
    read_embedded=read_embedded,
)
OPENAI = Dialect(
    name="openai",
    chat_path="/chat/completions",
    health_path="/models",
    installed_path="/models",
    read_installed=read_names,
    loaded_path="/models",
    read_loaded=read_served,
    body=chat_body,
    reader=OpenAIReply,
    embed_path="/embeddings",
    embed_body=embed_body,
    read_embedded=read_data,
)
DIALECTS = {dialect.name: dialect for dialect in (OLLAMA, OPENAI)}
