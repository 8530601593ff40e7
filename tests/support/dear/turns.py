"""`python -m tests.support.dear.turns PORT`: the dearest allowed turns, each to its result.

A process of its own whose attempts are those of a worker, but on asyncio's own event loop, whose
callbacks can be measured. It prints a JSON line for each input: name, CPU seconds of its dearest
callback, where that was, and what became of the job.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TypeVar

from memory import encode_message
from memory.records import history
from tasks import chat_task
from tasks.attempt.finish import deliver_end
from tasks.attempt.start import start_attempt
from tasks.job.envelope import JobRef
from tasks.process.runtime import Runtime
from tasks.process.services import producer_services
from tasks.process.worker.services import worker_services
from tests.support.dear.inputs import HISTORY_TEXTS, DearInput, dear_inputs
from tests.support.dear.model import MODEL, DearModel
from tests.support.slowest_callback import slowest_callback
from worker import heap

AGENT = "dear"
T = TypeVar("T")


def repeat(words: list[str]) -> str:
    """Repeat some words."""
    return " ".join(words)


class OnThisLoop(Runtime):
    """Runs all on the loop that it is made on."""

    def __init__(self) -> None:
        super().__init__()
        self._this = asyncio.get_running_loop()

    def spawn(self, coroutine: Coroutine[object, object, T]) -> "Future[T]":
        """Start it there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._this)


async def measured(given: DearInput, model: DearModel) -> tuple[str, float, str, str]:
    """One turn."""
    session = f"dear-{uuid.uuid4()}"
    model.answer_with(given.replies)
    job_id = await asyncio.to_thread(_send, given, session)
    wanted = given.options.get("max_history")
    with slowest_callback() as slowest:
        ref = JobRef(job_id, AGENT, session, wanted if isinstance(wanted, int) else None)
        attempt = start_attempt(ref)
        verdict = await asyncio.wrap_future(attempt.verdict)
        await deliver_end(attempt)
    return given.name, slowest.cpu_s, slowest.what, type(verdict).__name__


def _send(given: DearInput, session: str) -> str:
    services = producer_services()
    keys = services.keyspace.session(AGENT, session)
    records = [encode_message(message, 1 << 20) for message in HISTORY_TEXTS]
    for number in range(0, given.history, len(records)):
        write_id = f"{session}-{number}".encode()
        services.memory.run(
            history.append(keys, records, write_id=write_id, keep=5000, ttl_s=600, is_exact=True)
        )
    options = {**given.options, "model": MODEL}
    return str(chat_task.delay(AGENT, session, given.message, **options).id)  # type: ignore[arg-type]  # as the data has them


async def main(port: int) -> None:
    """Measure all inputs; the first is run once before, for what is done once per process."""
    worker_services().runtime = OnThisLoop()
    model, inputs = DearModel(port), dear_inputs()
    await measured(inputs[0], model)
    heap.settle()
    for given in inputs:
        sys.stdout.write(json.dumps(await measured(given, model)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
