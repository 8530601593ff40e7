"""Doors of the gateway, its pages, webhooks and schedules, and what a job waits for."""

import json
import time
from collections.abc import Mapping

from click.testing import CliRunner

from tasks import ChatError, schedules
from tests.support.privacy.setup import AGENT, Door, Setup
from worker.cli import main

FUNCTION = {"type": "object", "properties": {"country": {"type": "string"}}}


def post(path: str, body: object) -> Door:
    """A request with this body; each TEXT in it becomes the text, SESSION the session."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        filled = json.dumps(body).replace("TEXT", text).replace("SESSION", session)
        setup.ask("POST", path, content=filled.encode(), headers=JSON)

    return go_in


def get(path: str, **more: object) -> Door:
    """A question; each TEXT in its path, parameters and headers becomes the text."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        filled = json.loads(json.dumps(more).replace("TEXT", text))
        setup.ask("GET", path.replace("TEXT", text), **filled)

    return go_in


def sent(**more: object) -> Door:
    """A response with these in its request."""
    return post("/v1/responses", {"model": AGENT, "input": "hello", **more})


def with_function(text: str) -> Mapping[str, object]:
    """A function with the text in each of its places."""
    parameters = {**FUNCTION, "description": text, "title": text, "default": {text: text}}
    return {
        "type": "function",
        "name": "look_up",
        "description": text,
        "parameters": parameters,
        "strict": False,
    }


def function(setup: Setup, session: str, text: str) -> None:
    """A function, the arguments that the model calls it with, and what it has answered."""
    body = {"model": "tools", "input": text, "tools": [with_function(text)]}
    first = setup.ask("POST", "/v1/responses", json=body).json()
    results = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": text}
        for call in first["output"]
        if call["type"] == "function_call"
    ]
    assert results
    more = {"input": results, "previous_response_id": first["id"]}
    setup.ask("POST", "/v1/responses", json={**body, **more})


def odd_function(setup: Setup, session: str, text: str) -> None:
    """Functions that are none: a refusal names where, not what."""
    for change in (
        {"name": text},
        {"parameters": {"type": text}},
        {"parameters": {"properties": {text: {"$ref": f"#/{text}"}}}},
        {"parameters": {"properties": {text: {"type": text}}}},
        {text: text},
    ):
        tools = [{**with_function("a"), **change}]
        setup.ask("POST", "/v1/responses", json={"model": AGENT, "input": "hi", "tools": tools})


def conversation(setup: Setup, session: str, text: str) -> None:
    """Its items and metadata, read, searched and rendered."""
    made = setup.ask("POST", "/v1/conversations", json={"metadata": {"topic": text}}).json()
    at = f"/v1/conversations/{made['id']}"
    item = {"type": "message", "role": "user", "content": text}
    setup.ask("POST", f"{at}/items", json={"items": [item]})
    setup.ask("GET", f"{at}/items", params={"after": text})
    setup.ask("GET", f"{at}/items/{text}")
    setup.ask("DELETE", at)


def streamed(setup: Setup, session: str, text: str) -> None:
    """A stream, and one that a client leaves."""
    for path in ("/v1/responses", "/v1/chat/completions"):
        said = {"input": text} if "responses" in path else {
            "messages": [{"role": "user", "content": text}]
        }  # fmt: skip
        setup.ask("POST", path, json={"model": AGENT, "stream": True, **said})


def pages(setup: Setup, session: str, text: str) -> None:
    """The page of conversations, and the operator's, with the text as every parameter."""
    setup.ask(
        "POST", "/v1/responses", json={"model": AGENT, "input": text, "conversation": session}
    )
    where = {"agent": AGENT, "id": session}
    for path in ("/chat/session", "/chat/export", "/chat/sessions"):
        setup.ask("GET", path, params=where)
        setup.ask("GET", path, params={"agent": text, "id": text, "q": text})
    setup.ask("POST", "/chat/render", json={"text": text})
    setup.ask("GET", f"/pages/{text}")
    setup.ask("GET", "/v1/console", params={"slow": True, "find": text})
    setup.ask("GET", "/v1/console/job", params={"job_id": text})
    for act in ("read", "cancel", "requeue", "drop", "erase"):
        setup.ask("POST", f"/v1/console/{act}", json={"job_id": text, text: text})


def webhook(receiver: str) -> Door:
    """A response that is told to a receiver: its address has a token, which is a text, too."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        hook = f"http://127.0.0.1:{setup.hooks[receiver].port}/hooks?token={text.split()[1]}"
        body = {"model": AGENT, "input": text, "griot": {"webhook": hook}}
        setup.ask("POST", "/v1/responses", json=body)
        setup.ask("POST", "/v1/responses", json={**body, "model": "bad-400"})

    return go_in


def odd_webhook(setup: Setup, session: str, text: str) -> None:
    """Addresses that are not allowed, or are none."""
    word = text.split()[1]
    for hook in (f"https://a.example/{word}", f"ftp://a/{word}", text, f"http://u:{word}@h/"):
        setup.send(session, "hi", webhook=hook)
        body = {"model": AGENT, "input": "hi", "griot": {"webhook": hook}}
        setup.ask("POST", "/v1/responses", json=body)


def schedule(setup: Setup, session: str, text: str) -> None:
    """A message that is sent again and again. `griot schedules list` shows it: who made it there
    sees it there."""
    made = schedules.create(AGENT, session, text, every_s=10, system_prompt=text)
    setup.refusals.append(repr(made))
    setup.scheduled.append(made.schedule_id)
    made = schedules.create(AGENT, session, text, cron="* * * * *", model="missing")
    for command in ("next", "pause"):
        done = CliRunner().invoke(main, ["schedules", command, made.schedule_id])
        setup.refusals.append(done.output)


def odd_schedule(setup: Setup, session: str, text: str) -> None:
    """Rhythms and options that are none."""
    for given in ({"cron": text}, {"cron": f"* * * * {text.split()[1]}!"}, {"cron": "* * * * *",
                  "zone": text}, {"every_s": 60, "format": {"type": text}}):  # fmt: skip
        try:
            schedules.create(AGENT, session, text, **given)  # type: ignore[arg-type]  # odd
        except ChatError as refusal:
            setup.refusals.append(str(refusal))


def later(setup: Setup, session: str, text: str) -> None:
    """Jobs that wait for their time: one until it has come, one for longer than the test."""
    setup.send(session, text, model="instant", not_before=time.time() + 1)
    waiting = setup.send(f"{session}-long", text, model="instant", not_before=time.time() + 3600)
    setup.job_ids.remove(waiting)
    for moment in (text, {text: text}, [text]):
        setup.send(session, "hi", not_before=moment)


def headers(setup: Setup, session: str, text: str) -> None:
    """The text in each header that is looked at."""
    for name in HEADERS:
        value = f"Bearer {text}" if name == "Authorization" else text
        body = b'{"model": "energy", "input": "hi"}'
        setup.ask("POST", "/v1/responses", content=body, headers={**JSON, name: value})


HEADERS = (
    "Authorization", "Origin", "Host", "Content-Type", "If-None-Match", "Last-Event-ID",
    "OpenAI-Organization", "traceparent", "tracestate", "User-Agent", "Cookie",
)  # fmt: skip
JSON = {"Content-Type": "application/json"}
EMBED = "/v1/embeddings"
CHAT = "/v1/chat/completions"
DOORS: dict[str, Door] = {
    "http: a response": sent(input="TEXT", instructions="TEXT", metadata={"topic": "TEXT"}),
    "http: a completion": post(
        CHAT, {"model": AGENT, "messages": [{"role": "user", "content": "TEXT"}], "user": "TEXT"}
    ),
    "http: streams": streamed,
    "http: a model": sent(model="TEXT"),
    "http: an option": sent(TEXT="TEXT"),
    "http: the one before": sent(previous_response_id="TEXT"),
    "http: items and metadata": conversation,
    "http: a body that is no JSON": lambda setup, session, text: setup.ask(
        "POST", "/v1/responses", content=text.encode(), headers=JSON
    ),
    "http: a path": get("/v1/TEXT"),
    "http: a question": get("/v1/models", params={"q": "TEXT", "TEXT": "TEXT"}),
    "http: a response's id": get("/v1/responses/TEXT"),
    "http: headers": headers,
    "a function of the client": function,
    "functions that are none": odd_function,
    "texts for vectors": post(EMBED, {"model": "embedder", "input": ["TEXT"], "user": "TEXT"}),
    "texts that get no vectors": post(EMBED, {"model": "ok", "input": "TEXT"}),
    "a text that is too long for a vector": lambda setup, session, text: setup.ask(
        "POST", EMBED, json={"model": "embedder:ctx8", "input": text * 400}
    ),
    "a model for vectors": post(EMBED, {"model": "TEXT", "input": "hi"}),
    "pages": pages,
    "a webhook": webhook("takes"),
    "a webhook that is given up": webhook("gone"),
    "webhooks that are none": odd_webhook,
    "a schedule": schedule,
    "schedules that are none": odd_schedule,
    "a job that waits for its hour": later,
}
"""What a test sends its text through."""
