"""Functions that the tests let a model call."""

import asyncio
import gc
import os
import threading
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agents import ToolContext, ToolError
from tests.support.waiting import wait_until

BOOKED = "where bookings are noted"


def capacity_of(place: str) -> dict[str, object]:
    """Installed capacity of a place, in MW."""
    return {"place": place, "capacity_mw": 4975}


def book_seat(seat: int, context: ToolContext) -> str:
    """Book a seat at the summit, once per job."""
    with Path(os.environ["TEST_BOOKINGS"]).open("a", encoding="utf-8") as bookings:
        bookings.write(f"{context.job_id} {context.attempt} {seat}\n")
    return f"seat {seat} is booked"


def refuse(reason: str) -> str:
    """Refuse, with a reason for the model."""
    raise ToolError(f"not today: {reason}")


def tell(what: str, context: ToolContext) -> str:
    """Say what it works at."""
    context.progress(None, what)
    return "told"


def crash(password: str) -> str:
    """Crash, with a secret in the error."""
    raise RuntimeError(f"cannot log in with {password}")


async def wait_long(what: str) -> str:
    """Wait for longer than anybody has time."""
    return str(await asyncio.get_running_loop().create_future())


def hang(what: str) -> str:
    """Hang."""
    return str(threading.Event().wait())


def attempts_left(what: str) -> dict[str, int]:
    """Say how many attempts at jobs lie in the process, with all that they have used."""
    kinds = {"Attempt", "RunningAttempt"}
    return {"attempts": sum(type(one).__name__ in kinds for one in gc.get_objects())}


def own_process(what: str) -> dict[str, object]:
    """Say in which process it runs."""
    return {"pid": os.getpid()}


async def hold_loop(what: str) -> str:
    """Hold the event loop, as an asynchronous tool must not."""
    until = time.thread_time() + 0.6
    while time.thread_time() < until:
        what.encode()
    return what


def read_until(what: str, context: ToolContext) -> str:
    """Read, and say how far that is, until there is a file of this name."""
    context.progress(0.4, f"reading page 3 of {Path(what).name}")
    wait_until(Path(what).exists, timeout_s=20, what="it may end")
    return "read"


def count_high(least: Annotated[int, Field(ge=1000)]) -> str:
    """Count from a large number."""
    return str(least)


def recite(what: str) -> str:
    """Recite all that is known of something."""
    return f"{what} and so on. " * 1000


def silent(word: str) -> str:
    return word
