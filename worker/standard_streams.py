"""Standard output and error that are full or closed end no process of ours.

A terminal that is gone, a full disk behind `> file`, a supervisor that closes both: what is printed
there is lost, and the work goes on, as with a log file that cannot be written. A command says in
the end that its output is lost (`lost_output`).
"""

import io
import os
import sys


class _Forgiving(io.FileIO):
    """A descriptor to write to that takes note of what it cannot write.

    A reader of a pipe that has left is an error as ever: who prints for nobody shall end.
    """

    def __init__(self, descriptor: int, lost: OSError | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost = lost

    def write(self, data: "io.ReadableBuffer") -> int:  # type: ignore[name-defined]  # of typeshed alone
        left = memoryview(data).cast("B")
        size = left.nbytes
        while left:
            try:
                left = left[super().write(left) or 0 :]
            except BrokenPipeError:
                raise
            except OSError as exc:
                self.lost = exc
                break
        return size


_installed: dict[str, _Forgiving] = {}


def install() -> None:
    """Put such streams in the place of this process' own. Once, where a process begins."""
    closed = _open_missing()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = _installed[name] = _Forgiving(descriptor, closed.get(descriptor))
        known = getattr(sys, name)
        # No buffer between them: a handler of a signal that prints, as Celery's and honcho's do,
        # may come while `write` above runs, and a BufferedWriter would refuse it.
        stream = io.TextIOWrapper(
            raw,
            encoding=known.encoding if known else "utf-8",
            errors=known.errors if known else "backslashreplace",
            write_through=True,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)  # Celery prints its banner there


def lost_output() -> str:
    """Why something of what was printed to standard output is lost; empty if nothing is."""
    raw = _installed.get("stdout")
    if raw is None:
        return ""
    sys.stdout.flush()
    return "" if raw.lost is None else str(raw.lost.strerror)


def _open_missing() -> dict[int, OSError]:
    """Open the null device where a standard stream is closed: the next socket would take its place,
    and be written to by whoever prints. The errors that say which were closed."""
    closed: dict[int, OSError] = {}
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as exc:
            closed[descriptor] = exc
            os.open(os.devnull, os.O_RDWR)
    return closed
