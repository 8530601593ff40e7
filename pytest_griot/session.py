"""A session as a test sees it: history in, a message, a reply, history out."""

import uuid
from collections.abc import Mapping, Sequence
from importlib import import_module

from celery import Celery
from celery.result import AsyncResult

from memory import get_redis_memory
from pytest_griot.here import hidden_tasks

CHAT_TASK = "tasks.chat_task"
TIMEOUT_S = 30.0


class GriotSession:
    """One session of one agent, with an id that no other test has.

    Set `agent_id` to the agent that the test is about (default: `test`, which has the default
    profile).
    """

    def __init__(self, app: Celery, agent_id: str = "test") -> None:
        """`app` sends the jobs and reads their results."""
        self.agent_id = agent_id
        self.session_id = f"test-{uuid.uuid4()}"
        self._app = app

    @property
    def history(self) -> Sequence[Mapping[str, object]]:
        """The messages of the session as they lie in Redis, oldest first; can be assigned to."""
        return get_redis_memory().get_conversation_history(self.agent_id, self.session_id)

    @history.setter
    def history(self, messages: Sequence[Mapping[str, object]]) -> None:
        """Replace the messages of the session: what its next turn begins with."""
        kept = [dict(message) for message in messages]
        get_redis_memory().save_conversation_history(self.agent_id, self.session_id, kept)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The same as role and text."""
        return [(str(one["role"]), str(one["content"])) for one in self.history]

    def say(
        self, message: str, *, timeout_s: float = TIMEOUT_S, **options: object
    ) -> Mapping[str, object]:
        """The result of a message: `response`, `model`, `usage` and what else a ChatResult has.

        `options` are those of `chat_task.delay`. Raises what the job or its sending raises, and
        celery.exceptions.TimeoutError after `timeout_s`.
        """
        job = {
            "agent_id": self.agent_id,
            "session_id": self.session_id,
            "message": message,
            **options,
        }
        result: Mapping[str, object] = self._send(job).get(timeout=timeout_s)
        return result

    def _send(self, job: Mapping[str, object]) -> AsyncResult:
        if hidden_tasks() is None:
            return import_module("tasks").chat_task.apply_async(kwargs=job)
        return self._app.send_task(CHAT_TASK, kwargs=job)
