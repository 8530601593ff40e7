"""What the doors of the privacy tests lead into: servers, a worker, and a service of others."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from celery import Celery
from celery.result import AsyncResult

from memory import MemoryServiceError
from sandbox.resp import RespConnection
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import ChatError, app, chat_task
from tests.support.inbox import Inbox
from tests.support.webhooks.receiver import Receiver

AGENT = "energy"
HERE = "tests.support.tool_functions"
PROFILES = f"""
[default]
system_prompt = "Be brief."
[agents.crashing]
tools = ["{HERE}.crash"]
[agents.refusing]
tools = ["{HERE}.refuse"]
[agents.telling]
tools = ["{HERE}.tell"]
[agents.counting]
tools = ["{HERE}.count_high"]
"""


@dataclass
class Setup:
    """The servers, a service that imports nothing of ours, and what was noted on the way."""

    stack: GriotStack
    valkey: ValkeyServer
    foreign: Celery
    inbox: Inbox
    http: httpx.Client
    """A client of a gateway."""
    hooks: Mapping[str, Receiver]
    """Receivers of webhooks: one that takes all, one that wants none."""
    job_ids: list[str] = field(default_factory=list)
    """Jobs and tasks that end, each with a result."""
    held: list[str] = field(default_factory=list)
    """Jobs that run until they are cancelled."""
    scheduled: list[str] = field(default_factory=list)
    """Schedules, each of which is to send something."""
    refusals: list[str] = field(default_factory=list)
    """What senders were told."""

    def send(self, session: str, message: str, *, agent: str = AGENT, **options: object) -> str:
        """`delay`, whatever comes of it; the job's id, or nothing."""
        kwargs = {"agent_id": agent, "session_id": session, "message": message}
        of_celery = options.pop("celery", {})
        try:
            job = chat_task.apply_async(kwargs={**kwargs, **options}, **of_celery)
        except (ChatError, MemoryServiceError) as refusal:
            self.refusals.append(str(refusal))
            return ""
        self.job_ids.append(job.id)
        return job.id

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A request to the gateway, whatever comes of it: nobody but who asked is told that."""
        return self.http.request(method, path, **request)

    def raw(self, *args: object, name: str = "tasks.chat_task", **options: object) -> str:
        """A task of a service that knows nothing of ours."""
        sent = self.foreign.send_task(name, args=args, **options)
        self.job_ids.append(sent.id)
        return sent.id

    def push(self, element: bytes, queue: str = "chat") -> None:
        """An element of the broker's list, as somebody writes it by hand."""
        with RespConnection(self.valkey.port) as connection:
            connection.command("SELECT", 1)
            connection.command("LPUSH", queue, element)

    def is_quiet(self) -> bool:
        """Whether everything that was sent has ended, but for what is held."""
        with RespConnection(self.valkey.port) as connection:
            connection.command("SELECT", 1)
            waiting = [connection.command("LLEN", name) for name in ("chat", "celery")]
        return not any(waiting) and all(AsyncResult(one, app=app).ready() for one in self.job_ids)


Door = Callable[[Setup, str, str], object]
"""Sends a text through one door; in a session."""


def canary() -> str:
    """A text that nobody else has said, of two words, for a name has one."""
    return f"my canary{secrets.token_hex(6)}"
