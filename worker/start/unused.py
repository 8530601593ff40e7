"""Packages that libraries load where they are installed, and that no process of ours uses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = (
    "opentelemetry.metrics",  # redis 8.1: its own metrics
    "opentelemetry.sdk",  # the same
    "psutil",  # celery 5.7.0: the memory in `celery inspect memsample`
    "pygments",  # celery 5.7.0: colours for `celery inspect`
    "yaml",  # kombu 5.7.0: messages that no worker accepts
)
"""A sixth of the CPU that loading a worker takes, and 5 MB of its memory."""


@contextmanager
def left_out() -> Iterator[None]:
    """Have them not be found by what is loaded within the block; whoever asks later gets them."""
    missing = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]  # None: Python does not look
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
