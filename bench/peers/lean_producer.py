"""`python -m bench.peers.lean_producer`: sends taskiq's jobs, a burst for each line of its input.

A line is a JSON list of session ids; the answer is the seconds from the first job to the last
fetched result, a JSON number on a line.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import orjson

from bench.conversation import MESSAGE
from bench.peers.lean import broker, lean

MODEL = "instant"
LOOK_EVERY_S = 0.005
RESULT_TIMEOUT_S = 120.0


async def burst(sessions: Sequence[str]) -> float:
    """Send a job to each session at once and fetch all results: seconds from first to last."""
    began_s = time.monotonic()
    sent = [await lean.kiq(session, MESSAGE, MODEL) for session in sessions]
    for job in sent:
        result = await job.wait_result(check_interval=LOOK_EVERY_S, timeout=RESULT_TIMEOUT_S)
        result.raise_for_error()
    return time.monotonic() - began_s


async def main() -> None:
    """Answer each line until the input ends. The workers' group is made first: what is sent before
    would be lost."""
    await broker.startup()
    for line in sys.stdin:
        sys.stdout.buffer.write(orjson.dumps(await burst(orjson.loads(line))) + b"\n")
        sys.stdout.flush()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
