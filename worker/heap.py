"""What Python's garbage collector is told in a process that serves many at once."""

import gc

YOUNG = 10_000
"""Objects that are made before the collector looks at the young ones; Python 3.11 says 700."""


STARTING = 200_000
"""The same while a process loads its modules: they are no garbage, and looking at them time and
again was a sixth of the CPU of a worker's start."""


def begin() -> None:
    """Look seldom, until `settle`: to be called before most is loaded."""
    gc.set_threshold(STARTING, 20, 20)


def settle(**_: object) -> None:
    """Take what a process has when it is ready out of all later collections. Safe to repeat.

    A full collection looks at each object: 57 ms for the 120 000 of a worker that has done nothing
    yet, in whichever callback of the event loop it falls. JSON with many brackets makes it fall:
    1.3 MB of them took 200 ms to decode, and 13 ms after this. What is garbage by then stays, some
    hundred objects: to find them takes as long as to load a tenth of the modules.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
