"""A request for vectors on its way to a worker, and what comes back. Pure."""

from array import array
from base64 import b64decode, b64encode
from enum import StrEnum
from typing import Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from memory import CorruptData
from tasks.job.sender import Sender

M = TypeVar("M", bound=BaseModel)


class Refusal(StrEnum):
    """Why there are no vectors, as far as whoever asked may know it."""

    NO_MODEL = "no_model"
    NO_EMBEDDINGS = "no_embeddings"
    """The model makes none."""
    TOO_LONG = "too_long"
    """A text does not fit the model's window."""
    REJECTED = "rejected"
    """The model server takes something of the request for wrong."""
    TOO_LARGE = "too_large"
    """The vectors are too many for one answer."""
    NO_SLOT = "no_slot"
    AWAY = "away"
    """No model server can be asked now."""
    FAILED = "failed"


class EmbeddingRequest(BaseModel):
    """Texts, and the model that is to make their vectors; for whom they count."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    model: str
    texts: tuple[str, ...]
    agent_id: str
    dimensions: int | None = None
    user: str | None = None
    sender: Sender = Sender()

    def pack(self) -> bytes:
        """As it waits in Redis."""
        return self.model_dump_json().encode()

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What was packed. Raises CorruptData."""
        return _read(cls, packed)


class EmbeddingAnswer(BaseModel):
    """The vectors, each as base64 of its floats of 32 bits (little-endian), and what the model
    counted; or why there are none."""

    model_config = ConfigDict(frozen=True)

    vectors: tuple[str, ...] = ()
    tokens: int = 0
    refusal: Refusal | None = None

    def pack(self) -> bytes:
        """As it waits in Redis."""
        return orjson.dumps(
            self.model_dump()
        )  # it may have megabytes, of which pydantic looks at each

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What was packed. Raises CorruptData."""
        return _read(cls, packed)


def floats_of(encoded: str) -> list[float]:
    """A vector's numbers."""
    numbers = array("f", b64decode(encoded))
    if array("H", b"\1\0")[0] != 1:  # a machine that writes the high byte first
        numbers.byteswap()
    return numbers.tolist()


def encoded(vector: "array[float]") -> str:
    """A vector as an answer has it."""
    if array("H", b"\1\0")[0] != 1:
        vector = array("f", vector)
        vector.byteswap()
    return b64encode(vector.tobytes()).decode()


def _read(kind: type[M], packed: bytes) -> M:
    try:
        return kind.model_validate_json(packed)
    except ValidationError:
        # Not `from`: the error would hold somebody's words.
        raise CorruptData("what lies in the place of an embedding is none") from None
