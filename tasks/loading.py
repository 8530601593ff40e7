"""What a process that loads many modules at once tells Python's garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Have nobody look for garbage within the block: modules are none, and looking through them
    time and again was an eighth of the CPU that `import tasks` takes.

    Nor at its end: what was loaded counts as old then, as it would after some looks.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Whoever has frozen something keeps it so: it cannot be told from what we would freeze.
        if gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()
        if was_on:
            gc.enable()
