"""The file of messages: one job per line, found again by its place in the file."""

import codecs
import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import orjson

from tasks import InvalidJob
from tasks.job.job import ChatJob
from tasks.submit.producer import producer
from worker.cli.group import CommandFailed

MOST_FAULTS = 5
"""Wrong lines that are shown; the rest is counted."""
_IDS = uuid.UUID("8f1c2a52-6f0e-4d0a-9d6a-2f5f6d3a7c11")


@dataclass(frozen=True, slots=True)
class Line:
    """One job of the file: its number, from 1, where it begins, and the job's id."""

    number: int
    offset: int
    job_id: str


@dataclass(slots=True)
class MessagesFile:
    """The jobs of a file, by session and in the file's order. Of a line only its place is kept."""

    path: Path
    priority: str | None = None
    sessions: dict[tuple[str, str], list[Line]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    @classmethod
    def read(cls, path: Path, *, run: str, priority: str | None = None) -> "MessagesFile":
        """Check every line before the first is sent. Raises CommandFailed that shows what is wrong.

        A line without a `task_id` or an `idempotency_key` gets an id that follows from its text,
        its number and the name of the `run`: so the same file sent again is the same jobs.
        `priority` is that of lines which name none.
        """
        found, faults, ids = cls(path, priority), list[str](), dict[str, int]()
        with path.open("rb") as lines:
            for number, offset, line in _numbered(lines):
                try:
                    job, job_id = _job(line, number, run, priority)
                    if (first := ids.setdefault(job_id, number)) != number:
                        raise InvalidJob(f"has the id of line {first}")
                except (InvalidJob, ValueError) as exc:
                    faults.append(f"line {number}: {exc}")
                    continue
                found.sessions[job.agent_id, job.session_id].append(Line(number, offset, job_id))
                found.count += 1
        if faults:
            shown = "\n  ".join(faults[:MOST_FAULTS])
            more = f"\n  and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
            raise CommandFailed(
                f"nothing was sent; {path} has lines that are no jobs:\n  {shown}{more}"
            )
        return found

    def lines(self) -> Iterator[Line]:
        """All lines."""
        return chain.from_iterable(self.sessions.values())

    def job_at(self, line: Line) -> Mapping[str, object]:
        """The arguments of a line's job. Raises ValueError where the file has changed."""
        with self.path.open("rb") as lines:
            lines.seek(line.offset)
            arguments = _arguments(lines.readline())
        # With an idempotency key the id follows from it.
        has_key = arguments.get("idempotency_key") is not None
        return {"priority": self.priority, **arguments, "task_id": None if has_key else line.job_id}


def _numbered(lines: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, offset, line
        offset += len(line)


def _job(line: bytes, number: int, run: str, priority: str | None) -> tuple[ChatJob, str]:
    arguments = {"priority": priority, **_arguments(line)}
    task_id = arguments.pop("task_id", None)
    if not isinstance(task_id, str | None):
        raise InvalidJob("task_id must be text")
    job = producer().checked((), arguments)
    if task_id is None and job.idempotency_key is None:
        digest = hashlib.blake2b(_bare(line), digest_size=16).hexdigest()
        task_id = str(uuid.uuid5(_IDS, f"{run}:{number}:{digest}"))
    return job, job.job_id(task_id)


def _arguments(line: bytes) -> Mapping[str, object]:
    try:
        found = orjson.loads(_bare(line))
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"is not JSON ({exc})") from None
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object with agent_id, session_id and message")
    return found


def _bare(line: bytes) -> bytes:
    """A line without what is around its object: some editors put a mark before the first one."""
    return line.removeprefix(codecs.BOM_UTF8).strip()
