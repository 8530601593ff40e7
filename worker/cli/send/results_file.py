"""The file of results: a line for each job as it ends, and what is left to do of an earlier run."""

from pathlib import Path
from typing import BinaryIO, NoReturn

import orjson

from worker.cli.group import CommandFailed

FINAL = frozenset({"done", "failed", "cancelled", "erased"})
"""Of these a job has nothing more to come; what was refused is sent again, and what was unreadable
here is asked for again."""
BEGIN = b'{"line":'
"""How each line of ours begins."""


class ResultsFile:
    """Lines of JSON, appended; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended: set[str] = set()
        """The ids of the jobs that earlier runs have seen to their end."""
        self._file: BinaryIO | None = None

    def __enter__(self) -> "ResultsFile":
        """Read what earlier runs wrote. Raises CommandFailed for a file that is not of results."""
        self._file = file = self.path.open("a+b")
        file.seek(0)
        whole = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                # A run was killed in the middle of it; what nobody here has written stays as it is.
                if whole == 0 and line[: len(BEGIN)] != BEGIN[: len(line)]:
                    self._refuse(number)
                file.truncate(whole)
                break
            whole += len(line)
            self._note(line, number)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, result: dict[str, object]) -> None:
        """Write how a job has ended; it is in the file when this returns."""
        if self._file is None:
            raise AssertionError("the file is not open")
        self._file.write(orjson.dumps(result) + b"\n")
        self._file.flush()

    def _note(self, line: bytes, number: int) -> None:
        try:
            result = orjson.loads(line)
            job_id, status = result["task_id"], result["status"]
        except (ValueError, TypeError, KeyError):
            self._refuse(number)
        if status in FINAL:
            self.ended.add(job_id)

    def _refuse(self, number: int) -> NoReturn:
        self.__exit__()
        raise CommandFailed(
            f"{self.path} line {number} is no result of griot send; name another --results"
        ) from None
