"""What the producer's process does; bench/producing.py has it done there."""

import asyncio
import sys
import time
from collections.abc import Sequence

from celery.exceptions import TimeoutError as NoResultYet
from celery.result import AsyncResult

from bench.conversation import AGENT, HISTORY_MESSAGES, MESSAGE, messages
from bench.peers.noop import app as noop_app
from bench.peers.noop import noop
from bench.peers.plain import app as plain_app
from bench.peers.plain import plain
from llm import LLMService
from tasks import EventType, Priority, aio, chat_task, follow_job

RESULT_TIMEOUT_S = 120.0
LOOK_AGAIN_S = 5.0


def send(
    kind: str, session: str, model: str, max_history: int, message: str = MESSAGE
) -> AsyncResult:
    """Send one job of the system `kind`: chat, noop or plain."""
    if kind == "chat":
        return chat_task.delay(AGENT, session, message, model=model, max_history=max_history)
    if kind == "plain":
        return plain.delay(session, MESSAGE, model)
    return noop.delay(session)


def fetch(result: AsyncResult) -> None:
    """Wait for a result, looking again every LOOK_AGAIN_S: a notification may have been missed.

    Celery 5.7.0 subscribes to a result and asks for it without waiting for the subscription to be
    in force; on a busy server the result may come between the two.
    """
    deadline = time.monotonic() + RESULT_TIMEOUT_S
    while True:
        try:
            result.get(timeout=LOOK_AGAIN_S)
        except NoResultYet:
            sys.stderr.write(
                f"{result.id} not notified in {LOOK_AGAIN_S:g} s, looks again: {result.state}\n"
            )
            if time.monotonic() > deadline:
                raise
        else:
            return


def burst(
    kind: str,
    sessions: Sequence[str],
    model: str = "instant",
    max_history: int = HISTORY_MESSAGES,
    message: str = MESSAGE,
) -> float:
    """Send a job to each session at once and fetch all results: seconds from first to last.

    `message` is what chat jobs ask.
    """
    began = time.monotonic()
    for result in [send(kind, session, model, max_history, message) for session in sessions]:
        fetch(result)
    return time.monotonic() - began


def fill(
    sessions: Sequence[str], model: str = "instant", priority: Priority = Priority.NORMAL
) -> None:
    """Send chat jobs and leave them."""
    for session in sessions:
        chat_task.delay(AGENT, session, MESSAGE, model=model, priority=priority)


def urge(sessions: Sequence[str], model: str) -> dict[str, float]:
    """Send an interactive job to each session at once, with the session's id as its message, and
    fetch all results. By session, when it was sent: seconds of the monotonic clock."""
    jobs, sent_s = [], {}
    for session in sessions:
        sent_s[session] = time.monotonic()
        jobs.append(
            chat_task.delay(AGENT, session, session, model=model, priority=Priority.INTERACTIVE)
        )
    for job in jobs:
        fetch(job)
    return sent_s


def turns(sessions: Sequence[str], max_history: int = HISTORY_MESSAGES) -> list[float]:
    """One turn after the other, each awaited: milliseconds of each."""
    return [burst("chat", [session], max_history=max_history) * 1000 for session in sessions]


def pairs(sessions: Sequence[str], model: str = "instant") -> tuple[list[float], list[float]]:
    """By turns a direct call of the model and a job that makes the same call: milliseconds."""
    service = LLMService()
    question: dict[str, object] = {"role": "user", "content": MESSAGE}
    prompt = [*messages(), question]
    direct_ms, job_ms = [], []
    for session in sessions:
        began = time.monotonic()
        service.chat_with_history(prompt, model=model)
        direct_ms.append((time.monotonic() - began) * 1000)
        job_ms.append(burst("chat", [session], model) * 1000)
    return direct_ms, job_ms


def follow(sessions: Sequence[str], model: str, every_s: float) -> dict[str, float]:
    """Send a job to one session after the other, one each `every_s` seconds, with the session's id
    as its message, and follow all to their ends on one event loop.

    By session, when the first piece of its reply was there: seconds of the monotonic clock.
    """

    async def first_piece(after_s: float, session: str) -> float:
        await asyncio.sleep(after_s)
        first_s = 0.0
        job = await aio.send(AGENT, session, session, model=model)
        async for event in aio.follow_job(job.id):
            if event.type is EventType.TOKEN and not first_s:
                first_s = time.monotonic()
        return first_s

    async def all_of_them() -> dict[str, float]:
        try:
            starts_s = [number * every_s for number in range(len(sessions))]
            seen_s = await asyncio.gather(*map(first_piece, starts_s, sessions))
        finally:
            await aio.aclose()
        return dict(zip(sessions, seen_s, strict=True))

    return asyncio.run(all_of_them())


def stop(sessions: Sequence[str], model: str) -> dict[str, float]:
    """One job after the other, its session's id as the message, cancelled at its first token.

    By session, when `cancel` was called: seconds of the monotonic clock.
    """
    cancelled_s: dict[str, float] = {}
    for session in sessions:
        job = chat_task.delay(AGENT, session, session, model=model)
        for event in follow_job(job.id):
            if event.type is EventType.TOKEN and session not in cancelled_s:
                cancelled_s[session] = time.monotonic()
                chat_task.cancel(job.id)
    return cancelled_s


def configure(brokers: Sequence[str]) -> None:
    """`brokers`: broker and results of noop, then of plain."""
    for app, (broker, results) in zip(
        (noop_app, plain_app), (brokers[:2], brokers[2:]), strict=True
    ):
        app.conf.update(broker_url=broker, result_backend=results)
