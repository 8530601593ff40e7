"""POST /api/embed and /v1/embeddings: vectors made of a hash (docs/ollama.md, Lookups)."""

import asyncio
import hashlib
import math
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from sandbox.ollama import gojson, openai_answers, refusals
from sandbox.ollama.chat import refusal_response
from sandbox.ollama.errors import Refused, UnknownScenario
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.refusals import Stage
from sandbox.ollama.reply.playing import json_response
from sandbox.ollama.request import decoding
from sandbox.ollama.request.bodies import ModelRequest, keep_alive_s
from sandbox.ollama.request.decoding import Check, read_object
from sandbox.ollama.request.options import check_options
from sandbox.ollama.runners import Runner, slot
from sandbox.ollama.scenarios import Scenario
from sandbox.ollama.state import StandInState

LENGTH = 8
"""Numbers in a vector."""
_FIELDS: Mapping[str, Check] = {
    "model": decoding.text,
    "truncate": decoding.boolean,
    "dimensions": decoding.integer,
    "options": decoding.free_object,
}


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The two routes. One instance serves all requests."""

    state: StandInState

    async def embed(self, request: web.Request) -> web.Response:
        """POST /api/embed."""
        body = await request.read()
        try:
            return _json(await self._answer(request.path, body))
        except Refused as refused:
            return refusal_response(refused)

    async def complete(self, request: web.Request) -> web.Response:
        """POST /v1/embeddings: the same, whose request and answer are rewritten."""
        body = await request.read()
        try:
            asked = read_object(body, "EmbedRequest")
            form = asked.get("encoding_format", "float")
            if form not in ("float", "base64"):
                raise Refused(
                    400,
                    f"Invalid value for 'encoding_format' = {form}. "
                    "Supported values: ['float', 'base64'].",
                )
            wanted = asked.get("input", [])
            if wanted == []:
                raise Refused(400, "invalid input")
            native: JsonObject = {**asked, "input": [wanted] if isinstance(wanted, str) else wanted}
            answer = await self._answer(request.path, gojson.encode(native).encode())
        except Refused as refused:
            text = openai_answers.error(refused.status, {"error": refused.text})
            return json_response(refused.status, text, late=True)
        return _json(_as_openai(answer, _packed if form == "base64" else lambda row: row))

    async def _answer(self, path: str, body: bytes) -> JsonObject:
        call = self.state.call_log.begin(path, body)
        try:
            answer = await self._made(body)
            self.state.call_log.end(call, "answered", 200)
            return answer
        except Refused as refused:
            self.state.call_log.end(call, "refused", refused.status)
            raise
        except (asyncio.CancelledError, ConnectionError):
            self.state.call_log.disconnected(call)
            raise
        finally:
            self.state.call_log.end(call, "broken", 0)

    async def _made(self, body: bytes) -> JsonObject:
        """In the order of Ollama's own checks."""
        asked = _read(body)
        texts, model = _texts(asked), str(asked.get("model", ""))
        request = _as_request(asked, model)
        if not model:
            raise refusals.not_found("")
        try:
            scenario = self.state.own_scenario(model)
        except UnknownScenario as exc:
            raise Refused(400, f"stand-in: {exc}") from exc
        if not scenario.is_installed:
            raise Refused(404, f'model "{model}" not found, try pulling it first')
        self.state.install([model])
        check_options(request.options)
        scenario.refuse(Stage.MODEL, model, is_chat=True)
        scenario.refuse(Stage.QUEUE, model, is_chat=True)
        async with self.state.runners.using(self.state.wanted(request, scenario)) as runner:
            if not texts:
                return {"model": model, "embeddings": []}
            return await _run(request, scenario, texts, runner, asked.get("dimensions"))


async def _run(
    asked: ModelRequest, scenario: Scenario, texts: list[str], runner: Runner, length: JsonValue
) -> JsonObject:
    async with slot(runner, leaks=scenario.leaks_slot):
        await asyncio.sleep(scenario.first_s)
        scenario.refuse(Stage.RUN, asked.model, is_chat=True)
        if scenario.can_chat:
            text = "This server does not support embeddings. Start it with `--embeddings`"
            raise Refused(501, text)
        window = runner.options.window_tokens
        tokens = [scenario.density * (1 + (len(text) + 3) // 4) for text in texts]
        if not asked.truncate and max(tokens) > window:
            raise Refused(400, "the input length exceeds the context length")
        most = length if isinstance(length, int) and 0 < length < LENGTH else LENGTH
        return {
            "model": asked.model,
            "embeddings": [_vector(text, most) for text in texts],
            "prompt_eval_count": sum(min(count, window) for count in tokens),
        }


def _read(body: bytes) -> JsonObject:
    asked = read_object(body, "EmbedRequest")
    for name, value in asked.items():
        if (check := _FIELDS.get(name)) is not None:
            check(value, f"EmbedRequest.{name}")
    return asked


def _as_request(asked: JsonObject, model: str) -> ModelRequest:
    options = asked.get("options")
    return ModelRequest(
        model=model,
        options=options if isinstance(options, dict) else {},
        keep_alive_s=keep_alive_s(asked.get("keep_alive")),
        truncate=asked.get("truncate") is not False,
    )


def _texts(asked: JsonObject) -> list[str]:
    """The texts of a request; a lone one that is empty is none. Raises Refused (400)."""
    wanted = asked.get("input", [])
    if isinstance(wanted, str):
        return [wanted] if wanted else []
    if not isinstance(wanted, list) or not all(isinstance(text, str) for text in wanted):
        raise Refused(400, "invalid input type")
    return [text for text in wanted if isinstance(text, str)]


def _vector(text: str, most: int) -> JsonValue:
    """Of length 1, also where it is cut."""
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    numbers = [byte - 127.5 for byte in digest[:most]]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def _as_openai(answer: JsonObject, shown: Callable[[JsonValue], JsonValue]) -> JsonObject:
    rows, tokens = answer["embeddings"], answer.get("prompt_eval_count")
    data: list[JsonValue] = [
        {"object": "embedding", "embedding": shown(row), "index": index}
        for index, row in enumerate(rows if isinstance(rows, list) else [])
    ]
    usage: JsonObject = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": answer["model"], "usage": usage}


def _packed(row: JsonValue) -> JsonValue:
    numbers = [one for one in row if isinstance(one, float)] if isinstance(row, list) else []
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _json(value: JsonObject) -> web.Response:
    return json_response(200, gojson.encode(value).encode())
