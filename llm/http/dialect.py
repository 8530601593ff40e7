"""What a server speaks: Ollama's own protocol or OpenAI's. All else is the same for both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from llm.openai.reply import OpenAIReply
from llm.openai.requests import chat_body
from llm.wire.address import DialectName
from llm.wire.records import Delta, Final
from llm.wire.reply import ReplyReader
from llm.wire.requests import ChatRequest


class Reader(Protocol):
    """Reads one reply: bytes in, deltas out, at its end a Final or an LLMError."""

    @property
    def is_done(self) -> bool:
        """Whether the reply is whole: nothing that follows matters."""

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """The deltas of a chunk."""

    def finish(self) -> Iterator[Delta]:
        """The deltas of what is left at a clean end of the bytes."""

    def final(self) -> Final:
        """The end of the reply."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a chat is asked and read; the paths stand behind the server's address."""

    name: DialectName
    chat_path: str
    health_path: str
    body: Callable[[ChatRequest], bytes]
    reader: Callable[[ChatRequest, str, int], Reader]
    """Of a request, the server's address, and the most bytes that are read."""


OLLAMA = Dialect("ollama", "/api/chat", "/api/version", ChatRequest.body, ReplyReader)
OPENAI = Dialect("openai", "/chat/completions", "/models", chat_body, OpenAIReply)
DIALECTS = {dialect.name: dialect for dialect in (OLLAMA, OPENAI)}
