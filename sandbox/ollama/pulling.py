"""POST /api/pull: plays a download, without one (docs/ollama.md, Lookups)."""

import asyncio
from collections.abc import Iterator

from aiohttp import web

from sandbox.ollama import catalog, gojson
from sandbox.ollama.chat import refusal_response
from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject
from sandbox.ollama.reply.playing import json_response
from sandbox.ollama.request.decoding import read_object
from sandbox.ollama.request.names import parse
from sandbox.ollama.state import StandInState

LINES = 20
LINE_S = 0.02
_LAYER_BYTES = (397_807_936, 1_482, 11_343, 558)
"""The weights, and what else a model consists of: that was downloaded before."""
_NOT_THERE = "pull model manifest: file does not exist"
_FAILURE: JsonObject = {"error": _NOT_THERE}
_MANIFEST: JsonObject = {"status": "pulling manifest"}
_SUCCESS: JsonObject = {"status": "success"}


async def pull(state: StandInState, request: web.Request) -> web.StreamResponse:
    """POST /api/pull. A model of the scenario `nowhere` is in no registry."""
    try:
        asked = read_object(await request.read(), "PullRequest")
        name = asked.get("model") or asked.get("name")
        model = parse(name if isinstance(name, str) else "").short
    except Refused as refused:
        return refusal_response(refused)
    state.call_log.count("pulls")
    is_there = state.own_scenario(model).name != "nowhere"
    if asked.get("stream") is False:
        return _whole(state, model, is_there=is_there)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for line in _lines(model) if is_there else (_MANIFEST, _FAILURE):
        await response.write(gojson.encode(line).encode() + b"\n")
        await asyncio.sleep(LINE_S)
    if is_there:
        state.pull(model)
        await response.write(gojson.encode(_SUCCESS).encode() + b"\n")
    await response.write_eof()
    return response


def _whole(state: StandInState, model: str, *, is_there: bool) -> web.Response:
    if not is_there:
        body = gojson.encode(_FAILURE).encode()
        return json_response(500, body, late=True)
    state.pull(model)
    return json_response(200, gojson.encode(_SUCCESS).encode(), late=True)


def _lines(model: str) -> Iterator[JsonObject]:
    yield _MANIFEST
    weights, *small = _LAYER_BYTES
    for number in range(LINES + 1):
        yield _layer(model, weights, weights * number // LINES)
    for size_bytes in small:
        yield _layer(f"{model} {size_bytes}", size_bytes, size_bytes)
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}


def _layer(name: str, total_bytes: int, completed_bytes: int) -> JsonObject:
    """One line of a layer; Go leaves out what is zero."""
    digest = catalog.digest(name)
    return {
        "status": f"pulling {digest[:12]}",
        "digest": f"sha256:{digest}",
        "total": total_bytes,
        **({"completed": completed_bytes} if completed_bytes else {}),
    }
