"""What a process that loads many modules at once tells Python's garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Have nobody look for garbage within the block: modules are none, and looking through them
    time and again was an eighth of the CPU that `import tasks` takes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
