"""POST /api/pull: plays a download, without one (docs/ollama.md, Lookups)."""

import asyncio
from collections.abc import Iterator

from aiohttp import web

from sandbox.ollama import catalog, gojson
from sandbox.ollama.bodies import read_object
from sandbox.ollama.chat import refusal_response
from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject
from sandbox.ollama.playing import json_response
from sandbox.ollama.state import StandInState

LINES = 20
LINE_S = 0.02
_SIZE_BYTES = 397_821_319
_NOT_THERE = "pull model manifest: file does not exist"
_FAILURE: JsonObject = {"error": _NOT_THERE}
_SUCCESS: JsonObject = {"status": "success"}


async def pull(state: StandInState, request: web.Request) -> web.StreamResponse:
    """POST /api/pull. A model of the scenario `nowhere` is in no registry."""
    try:
        asked = read_object(await request.read(), "PullRequest")
    except Refused as refused:
        return refusal_response(refused)
    model = asked.get("model") or asked.get("name")
    if not isinstance(model, str):
        return refusal_response(Refused(400, "model is required"))
    state.call_log.count("pulls")
    is_there = state.own_scenario(model).name != "nowhere"
    if asked.get("stream") is False:
        return _whole(state, model, is_there=is_there)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for line in _lines(model) if is_there else [_FAILURE]:
        await response.write(gojson.encode(line).encode() + b"\n")
        await asyncio.sleep(LINE_S)
    if is_there:
        state.pull(model)
        await response.write(gojson.encode(_SUCCESS).encode() + b"\n")
    await response.write_eof()
    return response


def _whole(state: StandInState, model: str, *, is_there: bool) -> web.Response:
    if not is_there:
        return refusal_response(Refused(500, _NOT_THERE))
    state.pull(model)
    return json_response(200, gojson.encode(_SUCCESS).encode(), late=True)


def _lines(model: str) -> Iterator[JsonObject]:
    digest = catalog.digest(model)
    yield {"status": "pulling manifest"}
    for number in range(1, LINES + 1):
        yield {
            "status": f"pulling {digest[:12]}",
            "digest": f"sha256:{digest}",
            "total": _SIZE_BYTES,
            "completed": _SIZE_BYTES * number // LINES,
        }
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
