"""OpenAI's Embeddings: vectors of texts, by a model of the deployment, through its workers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from gateway.access import Caller, Shared, Writer
from gateway.doors.answers import ClientLeft, while_there
from gateway.errors import INVALID, RATE_LIMIT, SERVER, ApiError, retry_after
from gateway.models import DEFAULT_AGENT, target_of
from gateway.requests import Nullable
from gateway.responses.answering import NOBODY
from gateway.responses.sending import user_id
from tasks.job.embedding import EmbeddingAnswer, EmbeddingRequest, Refusal, floats_of
from tasks.submit.embedding import Embedding

router = APIRouter(tags=["embeddings"])

Text = Annotated[str, StringConstraints(min_length=1)]


class _Refused(NamedTuple):
    """How a refusal is answered; the worker's log has the reason in the operator's words."""

    status: int
    code: str
    message: str
    param: str | None = None


_REFUSALS: Mapping[Refusal, _Refused] = {
    Refusal.NO_MODEL: _Refused(404, "model_not_found", "No model server has the model.", "model"),
    Refusal.NO_EMBEDDINGS: _Refused(
        400, "invalid_value", "The model makes no embeddings.", "model"
    ),
    Refusal.TOO_LONG: _Refused(
        400, "context_length_exceeded", "A text does not fit the model's context window.", "input"
    ),
    Refusal.REJECTED: _Refused(400, "invalid_request", "The model server refuses the request."),
    Refusal.TOO_LARGE: _Refused(
        400, "invalid_value", "The vectors are too many for one answer: send fewer texts.", "input"
    ),
    Refusal.NO_SLOT: _Refused(
        429, "rate_limit_exceeded", "The model has no free slot: try again later."
    ),
    Refusal.AWAY: _Refused(
        503, "model_unavailable", "The model cannot answer now: try again later."
    ),
    Refusal.FAILED: _Refused(
        500, "server_error", "The model could not answer; the operator's log says why."
    ),
}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class EmbeddingsRequest(Nullable):
    """Texts, and the model that makes their vectors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    input: Text | Annotated[list[Text], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = None
    user: Annotated[str, StringConstraints(max_length=128)] | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _are_texts(cls, given: object) -> object:
        # Here, for the errors of a union name its parts.
        found = given if isinstance(given, list) else [given]
        if any(isinstance(one, int | list) for one in found):
            # Each model has tokens of its own, so OpenAI's would mean something else.
            raise PydanticCustomError(
                "tokens", "token arrays are not taken, for each model has others: send texts"
            )
        if not found or not all(isinstance(one, str) and one and _is_unicode(one) for one in found):
            raise PydanticCustomError(
                "texts", "must be a text or a list of texts, none of them empty"
            )
        return given

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts in their order."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


@router.post("/v1/embeddings")
async def create_embeddings(
    asked: EmbeddingsRequest, request: Request, gateway: Shared, caller: Writer
) -> Response:
    """A vector for each text, in their order."""
    if target_of(gateway.griot, caller, asked.model).model is None:
        raise ApiError(
            404, "An agent makes no embeddings: name a model.", code="model_not_found",
            param="model",
        )  # fmt: skip
    wanted = _request(asked, caller)
    embedding = Embedding(gateway.memory, gateway.griot, wanted)
    try:
        waiting = embedding.answered(gateway.settings.request_s)
        answer = await while_there(request.receive, waiting)
    except ClientLeft:
        return Response(status_code=NOBODY)
    except TimeoutError:
        raise ApiError(504, "The answer took too long.", code="timeout", kind=SERVER) from None
    if answer.refusal is not None:
        raise _refused(answer.refusal)
    _check_length(asked, answer)
    return StreamingResponse(_shown(asked, answer), media_type="application/json")


def _request(asked: EmbeddingsRequest, caller: Caller) -> EmbeddingRequest:
    return EmbeddingRequest(
        model=asked.model,
        texts=asked.texts,
        agent_id=DEFAULT_AGENT,
        dimensions=asked.dimensions,
        user=user_id(caller, asked.user),
        sender=caller.sender,
    )


def _refused(refusal: Refusal) -> ApiError:
    told = _REFUSALS[refusal]
    kind = {429: RATE_LIMIT, 500: SERVER, 503: SERVER}.get(told.status, INVALID)
    headers = retry_after() if told.status in {429, 503} else None
    return ApiError(
        told.status, told.message, code=told.code, param=told.param, kind=kind, headers=headers
    )


def _check_length(asked: EmbeddingsRequest, answer: EmbeddingAnswer) -> None:
    """Raise ApiError where the vectors have another length than was asked for."""
    first = floats_of(answer.vectors[0])
    if asked.dimensions is not None and len(first) != asked.dimensions:
        raise ApiError(
            400, f"The model's vectors have {len(first)} dimensions, and cannot have more.",
            code="invalid_value", param="dimensions",
        )  # fmt: skip


async def _shown(asked: EmbeddingsRequest, answer: EmbeddingAnswer) -> AsyncIterator[bytes]:
    """The object that is answered, as JSON, a vector at a time: millions of numbers are not written
    in one go, for the loop has other requests too."""
    yield b'{"object":"list","data":['
    for index, vector in enumerate(answer.vectors):
        # OpenAI's form of base64 is the one in which vectors are kept.
        shown = vector if asked.encoding_format == "base64" else floats_of(vector)
        one = orjson.dumps({"object": "embedding", "index": index, "embedding": shown})
        yield b"," + one if index else one
        await asyncio.sleep(0)
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}
    yield b"]," + orjson.dumps({"model": asked.model, "usage": usage})[1:]
