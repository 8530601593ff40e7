"""The routes, as an aiohttp application."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial

from aiohttp import web

from sandbox.ollama import catalog, gojson, openai_answers
from sandbox.ollama.call_log import RecordedCall
from sandbox.ollama.chat import CHAT, GENERATE, Calls, refusal_response
from sandbox.ollama.embedding import Embeddings
from sandbox.ollama.errors import Refused, UnknownScenario
from sandbox.ollama.gojson import JsonObject
from sandbox.ollama.hosts import is_allowed_host, is_allowed_origin
from sandbox.ollama.pulling import pull
from sandbox.ollama.reply.playing import json_response
from sandbox.ollama.request import decoding
from sandbox.ollama.request.decoding import read_object
from sandbox.ollama.state import StandInState

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PLAIN = {"Content-Type": "text/plain"}
_FACTS: dict[str, Callable[[StandInState], JsonObject]] = {
    "/api/version": lambda state: catalog.version(state.profile),
    "/api/status": lambda state: catalog.status(no_cloud=state.no_cloud),
    "/api/tags": lambda state: catalog.tags(state.listed()),
    "/api/ps": lambda state: catalog.processes(state.runners.loaded()),
    "/v1/models": lambda state: openai_answers.models(state.models.values(), catalog.MODIFIED_S),
}
"""What the server says of itself, by path."""

_HEADED = {"/", "/api/version", "/api/tags"}
"""The paths that answer HEAD."""


def make_app(state: StandInState) -> web.Application:
    """An application over `state`. Serve it with `handler_cancellation=True`.

    Without that no disconnect is noticed.
    """
    app = web.Application(client_max_size=0, middlewares=[_local_only])  # no limit, like Ollama
    calls, lookups, controls = Calls(state), _Lookups(state), _Controls(state)
    embeddings = Embeddings(state)
    routes: list[tuple[str, str, _Handler]] = [
        ("POST", "/api/chat", partial(calls.answer, CHAT)),
        ("POST", "/api/generate", partial(calls.answer, GENERATE)),
        ("GET", "/", lookups.root),
        *(("GET", path, lookups.fact) for path in _FACTS),
        ("POST", "/api/show", lookups.show),
        ("POST", "/api/pull", partial(pull, state)),
        ("POST", "/api/copy", lookups.copy),
        ("POST", "/api/embed", embeddings.embed),
        ("POST", "/v1/embeddings", embeddings.complete),
        ("POST", "/v1/chat/completions", calls.complete),
        ("GET", "/v1/models/{name:.+}", lookups.model),
        ("GET", "/standin/stats", controls.stats),
        ("GET", "/standin/calls", controls.calls),
        ("POST", "/standin/reset", controls.reset),
        ("POST", "/standin/script", controls.script),
    ]
    for method, path, handler in routes:
        app.router.add_route(method, path, handler)
        if path in _HEADED:
            app.router.add_route("HEAD", path, handler)
    unrouted = partial(_unrouted, frozenset(path for _, path, _ in routes))
    app.router.add_route("*", "/{anything:.*}", unrouted)
    app.on_response_prepare.append(_without_server_header)
    return app


async def _without_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


@web.middleware
async def _local_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """A server that listens on loopback answers no other host and no page of one."""
    origin = request.headers.get("Origin")
    if is_allowed_host(request.headers.get("Host", "")) and is_allowed_origin(origin):
        return await handler(request)
    return web.Response(status=403, headers={"Content-Type": ""})


async def _unrouted(paths: frozenset[str], request: web.Request) -> web.Response:
    """What no route takes gets one of gin's two plain texts."""
    if request.path in paths or request.path.startswith("/v1/models/"):
        return web.Response(status=405, body=b"405 method not allowed", headers=_PLAIN)
    return web.Response(status=404, body=b"404 page not found", headers=_PLAIN)


@dataclass(frozen=True, slots=True)
class _Lookups:
    """The routes that start no model."""

    state: StandInState

    async def root(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def fact(self, request: web.Request) -> web.Response:
        return self._answer(_FACTS[request.path](self.state))

    async def model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        try:
            self._shown({"model": name})
        except Refused as refused:
            body = openai_answers.error(refused.status, {"error": refused.text})
            return json_response(refused.status, body, late=True)
        return self._answer(openai_answers.model(name, catalog.MODIFIED_S))

    async def show(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            return self._answer(self._shown(read_object(body, "ShowRequest")))
        except Refused as refused:
            return refusal_response(refused)

    async def copy(self, request: web.Request) -> web.Response:
        try:
            asked = read_object(await request.read(), "CopyRequest")
            for name in ("source", "destination"):
                decoding.text(asked.get(name, ""), f"CopyRequest.{name}")
            self.state.copy(str(asked.get("source", "")), str(asked.get("destination", "")))
        except Refused as refused:
            return refusal_response(refused)
        return web.Response()

    def _shown(self, asked: JsonObject) -> JsonObject:
        for name in ("model", "name"):
            decoding.text(asked.get(name, ""), f"ShowRequest.{name}")
        model = str(asked.get("model") or asked.get("name") or "")
        if not model:
            raise Refused(400, "model is required")
        self.state.is_of_cloud(model, "remote model details are unavailable")
        try:
            scenario = self.state.own_scenario(model)
        except UnknownScenario as exc:
            raise Refused(400, f"stand-in: {exc}") from exc
        if not scenario.is_installed:
            raise Refused(404, f"model '{catalog.full_name(model)}' not found")
        self.state.install([model])
        return catalog.show(model, scenario, self.state.profile)

    def _answer(self, value: JsonObject) -> web.Response:
        self.state.call_log.count("lookups")
        return _json(value)


@dataclass(frozen=True, slots=True)
class _Controls:
    """Not Ollama's: counters, calls, scripts."""

    state: StandInState

    async def stats(self, _request: web.Request) -> web.Response:
        return _json(asdict(self.state.call_log.stats))

    async def calls(self, _request: web.Request) -> web.Response:
        return _json({"calls": [call_as_json(call) for call in self.state.call_log.calls]})

    async def reset(self, _request: web.Request) -> web.Response:
        self.state.reset()
        return _json({})

    async def script(self, request: web.Request) -> web.Response:
        try:
            wanted = read_object(await request.read(), "Script")
            model, names = wanted.get("model"), wanted.get("scenarios")
            if not isinstance(model, str) or not isinstance(names, list):
                raise Refused(400, 'wanted: {"model": "...", "scenarios": ["...", ...]}')
            self.state.script.add(model, [str(name) for name in names])
        except Refused as refused:
            return refusal_response(refused)
        except UnknownScenario as exc:
            return refusal_response(Refused(400, str(exc)))
        return _json({})


def call_as_json(call: RecordedCall) -> JsonObject:
    """A call as JSON; the body as text."""
    members: JsonObject = asdict(call)
    return {
        **members,
        "messages": list(call.messages),
        "body": call.body.decode(errors="replace"),
    }


def _json(value: JsonObject) -> web.Response:
    return json_response(200, gojson.encode(value).encode())
