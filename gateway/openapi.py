"""The OpenAPI document: what FastAPI knows of the routes, and what it cannot know."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": TEXT,
                "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        },
        "griot": {
            "type": "object",
            "properties": {"accepted": {"enum": ["no", "unknown"]}},
            "description": "Whether the message may be in all the same",
        },
    },
}
STATUSES = ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
RESPONSE: Schema = {
    "type": "object",
    "required": ["id", "object", "created_at", "status", "output", "usage", "model", "griot"],
    "properties": {
        "id": TEXT,
        "object": {"const": "response"},
        "created_at": {"type": "number"},
        "status": {"enum": STATUSES},
        "output": {"type": "array", "items": {"type": "object", "required": ["id", "type"]}},
        "usage": {"type": ["object", "null"]},
        "model": TEXT,
        "griot": {"type": "object", "required": ["agent_id", "session_id"]},
    },
}
CONVERSATION: Schema = {
    "type": "object",
    "required": ["id", "object", "created_at", "metadata"],
    "properties": {
        "id": TEXT,
        "object": {"const": "conversation"},
        "created_at": {"type": "integer"},
        "metadata": {"type": "object", "additionalProperties": TEXT},
    },
}
DELETED: Schema = {
    "type": "object",
    "required": ["id", "object", "deleted"],
    "properties": {"id": TEXT, "object": TEXT, "deleted": {"const": True}},
}
LIST: Schema = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"type": "object", "required": ["id"]}},
        "has_more": {"type": "boolean"},
    },
}
COMPLETION: Schema = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        "id": TEXT,
        "object": {"const": "chat.completion"},
        "choices": {"type": "array", "items": {"type": "object"}, "minItems": 1},
    },
}
EMBEDDINGS: Schema = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["object", "index", "embedding"],
                "properties": {
                    "object": {"const": "embedding"},
                    "index": {"type": "integer"},
                    "embedding": {"type": ["array", "string"], "items": {"type": "number"}},
                },
            },
        },
        "model": TEXT,
        "usage": {"type": "object", "required": ["prompt_tokens", "total_tokens"]},
    },
}
SCHEMAS = {
    "Error": ERROR,
    "Response": RESPONSE,
    "Conversation": CONVERSATION,
    "Deleted": DELETED,
    "List": LIST,
    "Completion": COMPLETION,
    "Embeddings": EMBEDDINGS,
}
_ITEMS = "/v1/conversations/{conversation}/items"
_ONE = "/v1/conversations/{conversation}"
ANSWERS: Mapping[tuple[str, str], str] = {
    ("post", "/v1/responses"): "Response",
    ("get", "/v1/responses/{response_id}"): "Response",
    ("post", "/v1/responses/{response_id}/cancel"): "Response",
    ("delete", "/v1/responses/{response_id}"): "Deleted",
    ("get", "/v1/responses/{response_id}/input_items"): "List",
    ("post", "/v1/conversations"): "Conversation",
    ("get", _ONE): "Conversation",
    ("post", _ONE): "Conversation",
    ("delete", _ONE): "Deleted",
    ("get", _ITEMS): "List",
    ("post", _ITEMS): "List",
    ("delete", f"{_ITEMS}/{{item_id}}"): "Conversation",
    ("post", "/v1/chat/completions"): "Completion",
    ("post", "/v1/embeddings"): "Embeddings",
    ("get", "/v1/models"): "List",
    ("get", "/v1/agents"): "List",
    ("get", "/v1/sessions"): "List",
    ("get", "/v1/dead_letters"): "List",
    ("get", "/v1/pauses"): "List",
    ("get", "/v1/jobs"): "List",
    ("get", "/v1/usage"): "List",
}
STREAMED = (
    ("post", "/v1/responses"),
    ("get", "/v1/responses/{response_id}"),
    ("post", "/v1/chat/completions"),
)
HEADERS: Schema = {
    "X-Request-ID": {"description": "The request's id, which the log has", "schema": TEXT}
}
EVENTS: Schema = {
    "schema": {"type": "string", "description": "With `stream`: OpenAI's events, in its order"}
}


def describe(app: FastAPI) -> None:
    """Let the document of `app` say who may ask, how errors look, and what is streamed."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # ours have another form, and are 400
        schemas.pop(name, None)
    schemas.update(SCHEMAS)
    key = {"type": "http", "scheme": "bearer", "description": "A key of `griot keys create`"}
    parts["securitySchemes"] = {"key": key}
    for path, routes in document["paths"].items():
        for method, route in routes.items():
            _complete(method, path, route)
    return document


def _complete(method: str, path: str, route: dict[str, Any]) -> None:
    answers = route["responses"]
    answers.pop("422", None)
    if not path.startswith("/v1/"):
        answers["503"] = {"description": "A job would not be done"}
        return
    # {}: without keys a gateway of this machine alone asks for none.
    route["security"] = [{"key": []}, {}]
    error = {"application/json": {"schema": _named("Error")}}
    for statuses, why in (("4XX", "The request is refused"), ("5XX", "It could not be done")):
        answers[statuses] = {"description": why, "content": error, "headers": HEADERS}
    content = answers["200"].setdefault("content", {})
    if (name := ANSWERS.get((method, path))) is not None:
        content["application/json"] = {"schema": _named(name)}
    if (method, path) in STREAMED:
        content["text/event-stream"] = EVENTS
    answers["200"]["headers"] = HEADERS


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
