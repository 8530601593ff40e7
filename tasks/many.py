"""Sending many jobs at once from a program that has no event loop."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from tasks import aio
from tasks.job.options import JobToSend
from tasks.submit.many import SendAnswer


def send_many(jobs: Iterable[JobToSend]) -> list[SendAnswer]:
    """Send many chat jobs; when this returns, the accepted ones are in their mailboxes.

        answers = send_many([{"agent_id": "energy", "session_id": "s-1", "message": "Hello"}, …])

    Each job is described by the keyword arguments of `chat_task.delay`, and perhaps a `task_id`.
    The answers come in the order of the jobs; one that is refused raises nothing and keeps no other
    from being sent. Jobs of one session keep their order: behind one that is `full` or `unknown`
    the session's others are `held_back`. So is it safe to send all of them again, with the ids of
    the answers as `task_id`, until none is: what is in stays one job.
    """
    # A thread of its own: the caller's may have an event loop, which must not run another.
    with ThreadPoolExecutor(1, "griot-send") as thread:
        return thread.submit(copy_context().run, asyncio.run, aio.send_many(jobs)).result()
