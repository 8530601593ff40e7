"""The producer, in a process of its own: `python -m bench.producer BROKERS`.

It reads one JSON object per line, `{"act": …, …}`, does it and writes one line: `{"ok": …}` or
`{"error": …}`. `Producer` is the other end.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from celery.exceptions import CeleryError
from celery.exceptions import TimeoutError as NoResultYet
from celery.result import AsyncResult
from kombu.exceptions import KombuError

from bench.conversation import AGENT, MESSAGE, messages
from bench.noop_app import app as noop_app
from bench.noop_app import noop
from bench.plain_app import app as plain_app
from bench.plain_app import plain
from llm import LLMService
from memory import MemoryServiceError
from tasks import ChatError, EventType, aio, chat_task, follow_job

RESULT_TIMEOUT_S = 120.0
LOOK_AGAIN_S = 5.0

Facts: TypeAlias = dict[str, object]


def send(kind: str, session: str, model: str, max_history: int) -> AsyncResult:
    """Send one job of the system `kind`: chat, noop or plain."""
    if kind == "chat":
        return chat_task.delay(AGENT, session, MESSAGE, model=model, max_history=max_history)
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


def burst(*, kind: str, sessions: Sequence[str], model: str, max_history: int) -> Facts:
    """Send a job to each session at once and fetch all results. Seconds from first to last."""
    began = time.monotonic()
    results = [send(kind, session, model, max_history) for session in sessions]
    sent = time.monotonic()
    for result in results:
        fetch(result)
    return {"seconds": time.monotonic() - began, "send_seconds": sent - began}


def fill(*, sessions: Sequence[str], model: str, max_history: int) -> Facts:
    """Send chat jobs and leave them."""
    for session in sessions:
        send("chat", session, model, max_history)
    return {}


def turns(*, sessions: Sequence[str], model: str, max_history: int) -> Facts:
    """One turn after the other, each awaited. Milliseconds of each."""
    taken_ms = []
    for session in sessions:
        began = time.monotonic()
        fetch(send("chat", session, model, max_history))
        taken_ms.append((time.monotonic() - began) * 1000)
    return {"ms": taken_ms}


def pairs(*, sessions: Sequence[str], model: str, max_history: int) -> Facts:
    """By turns a direct call of the model and a job that makes the same call. Milliseconds."""
    service = LLMService()
    question: dict[str, object] = {"role": "user", "content": MESSAGE}
    prompt = [*messages(max_history), question]
    direct_ms, job_ms = [], []
    for session in sessions:
        began = time.monotonic()
        service.chat_with_history(prompt, model=model)
        between = time.monotonic()
        fetch(send("chat", session, model, max_history))
        direct_ms.append((between - began) * 1000)
        job_ms.append((time.monotonic() - between) * 1000)
    return {"direct_ms": direct_ms, "job_ms": job_ms}


def follow(*, sessions: Sequence[str], model: str, every_s: float) -> Facts:
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

    return {"seen_s": asyncio.run(all_of_them())}


def stop(*, sessions: Sequence[str], model: str) -> Facts:
    """One job after the other, its session's id as the message, cancelled once it speaks.

    By session, when `cancel` was called: seconds of the monotonic clock.
    """
    asked_s = {}
    for session in sessions:
        job = chat_task.delay(AGENT, session, session, model=model)
        for event in follow_job(job.id):
            if event.type is EventType.TOKEN and session not in asked_s:
                asked_s[session] = time.monotonic()
                chat_task.cancel(job.id)
    return {"asked_s": asked_s}


ACTS: dict[str, Callable[..., Facts]] = {
    act.__name__: act for act in (burst, fill, turns, pairs, follow, stop)
}


def answer(line: str) -> Facts:
    """Do what one line asks for."""
    asked = json.loads(line)
    try:
        return {"ok": ACTS[asked.pop("act")](**asked)}
    except (CeleryError, KombuError, ChatError, MemoryServiceError) as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}


def main(brokers: Sequence[str]) -> None:
    """Serve until the end of the input. `brokers`: broker and results of noop, then of plain."""
    for app, (broker, results) in zip(
        (noop_app, plain_app), (brokers[:2], brokers[2:]), strict=True
    ):
        app.conf.update(broker_url=broker, result_backend=results)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
