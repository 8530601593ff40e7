"""What a worker says of its models while they are not all there: jobs wait, so it starts anyway."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from tasks.process.configuration import Settings
from worker.checks.findings import Finding, Level
from worker.checks.models import check_ollama

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0


async def watch_models(
    settings: Settings,
    look: Callable[[Settings], Sequence[Finding]] = check_ollama,
    first_pause_s: float = FIRST_PAUSE_S,
) -> None:
    """Look until every server answers and every agent's model is there; log what changes.

    It ends then: later outages are seen by the calls themselves. A look takes three seconds where
    a server is silent, on a thread.
    """
    said: set[str] = set()
    pause_s = first_pause_s
    while lacking := {
        f"{one.check}: {one.found}; {one.advice}"
        for one in await asyncio.to_thread(look, settings)
        if one.level is not Level.OK
    }:
        for line in sorted(lacking - said):
            logger.warning("%s", line)
        said = lacking
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    if said:
        logger.info("the model servers answer, and every model is there")
