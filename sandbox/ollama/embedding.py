"""POST /api/embed: vectors made of a hash; nobody compares them (docs/ollama.md, Lookups). Pure."""

import hashlib
import math

from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.scenarios import Scenario

_LENGTH = 8


def read_input(asked: JsonObject) -> list[str]:
    """The texts of a request. Raises Refused (400)."""
    wanted = asked.get("input", [])
    texts: list[JsonValue] = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(text, str) for text in texts):
        raise Refused(400, "invalid input type")
    return [text for text in texts if isinstance(text, str) and text]


def embedded(model: str, scenario: Scenario, texts: list[str]) -> JsonObject:
    """The answer: a vector of length 1 for each text. Raises Refused (501) for a chat model."""
    if texts and scenario.can_chat:
        text = "This server does not support embeddings. Start it with `--embeddings`"
        raise Refused(501, text)
    return {"model": model, "embeddings": [_vector(text) for text in texts]}


def _vector(text: str) -> JsonValue:
    numbers = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:_LENGTH]]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]
