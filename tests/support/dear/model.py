"""An Ollama that answers with what it is given, in a thread of the process that is measured."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from tests.support.dear.inputs import Record

MODEL = "dear"
WINDOW_TOKENS = 1_000_000

_LISTED = {"models": [{"name": MODEL, "model": MODEL, "context_length": WINDOW_TOKENS}]}
_TOLD = {"tags": _LISTED, "ps": _LISTED, "version": {"version": "0.32.0"}}
_SHOWN = {"capabilities": ["completion", "tools", "vision"]}
_LOADED: Record = {"message": {"role": "assistant"}, "done": True, "done_reason": "load"}


class DearModel:
    """Serves until the process ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._answers: list[bytes] = []
        self._is_serving = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()
        self._is_serving.wait()

    def answer_with(self, replies: Sequence[Sequence[Record]]) -> None:
        """Answer the next calls so."""
        self._answers = [_lines(records) for records in replies]

    def _serve(self) -> None:
        loop = asyncio.new_event_loop()
        app = web.Application(client_max_size=1 << 30)
        for name, told in _TOLD.items():
            app.router.add_get(f"/api/{name}", _telling(told))
        app.router.add_post("/api/show", _telling(_SHOWN))
        app.router.add_post("/api/chat", self._chat)
        runner = web.AppRunner(app)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self._port).start())
        self._is_serving.set()
        loop.run_forever()

    async def _chat(self, request: web.Request) -> web.Response:
        asked = await request.json()
        is_load = not asked["messages"]
        body = _lines([_LOADED]) if is_load else self._answers.pop(0)
        return web.Response(body=body, content_type="application/x-ndjson")


def _telling(told: object) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def tell(_: web.Request) -> web.Response:
        return web.json_response(told)

    return tell


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(json.dumps({"model": MODEL, **one}).encode() + b"\n" for one in records)
