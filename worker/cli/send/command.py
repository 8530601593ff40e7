"""`griot send`: the messages of a file, sent and answered."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tasks import Priority
from worker.cli.console import note, printable, say
from worker.cli.send.messages_file import MessagesFile
from worker.cli.send.results_file import ResultsFile
from worker.cli.send.run import Run

NOTED_EVERY_S = 10.0
SENT_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
WRITTEN_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command(name="send")
@click.argument("file", type=SENT_FILE)
@click.option(
    "--results",
    type=WRITTEN_FILE,
    help="Where the results go, a line of JSON as each job ends.  [default: FILE.results.jsonl]",
)
@click.option(
    "--window",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Jobs that are sent and not ended at any moment.",
)
@click.option(
    "--run",
    "run_name",
    default="",
    metavar="NAME",
    help="Another name makes other jobs of the same file: they are answered again.",
)
@click.option(
    "--priority",
    type=click.Choice([one.value for one in Priority]),
    help="How urgent the jobs are whose lines do not say so.  [default: as their agents' profiles]",
)
def send_command(
    file: Path, results: Path | None, window: int, run_name: str, priority: str | None
) -> None:
    """Send the messages of FILE and write their results.

    A line of FILE is a JSON object: agent_id, session_id, message, and any option of
    chat_task.delay. Lines of one session are answered in the file's order. All lines are checked
    before the first is sent.

    Ctrl-C stops the sending; what is sent is answered all the same. The same command goes on where
    it stopped, also after a crash: a line's job keeps its id for a week, so nothing is asked twice.
    Exit code 1 where a job failed or was refused, or where its result cannot be read here, which is
    of a newer Griot or needs another key: the next run asks for that again.

    \b
    Example:
      echo '{"agent_id": "energy", "session_id": "s-1", "message": "Hello"}' > mine.jsonl
      griot send mine.jsonl --priority batch
    """
    messages = MessagesFile.read(file, run=run_name, priority=priority)
    where = results or file.with_name(f"{file.name}.results.jsonl")
    with ResultsFile(where) as written, ProgressBar(messages.count) as told:
        told.begin(sum(line.job_id in written.ended for line in messages.lines()))
        try:
            asyncio.run(Run(messages, written, told, window=window).to_the_end())
        except KeyboardInterrupt:
            told.interrupted()
            raise
    say(f"{told.summary()}; results: {where}")
    if told.counts.keys() - {"done"}:
        raise click.exceptions.Exit(1)


class ProgressBar:
    """How far a run is: a bar on a terminal, else a line now and then, on standard error."""

    def __init__(self, total: int) -> None:
        self.counts: Counter[str] = Counter()
        self._total = total
        self._earlier = 0
        self._noted_s = time.monotonic()
        self._why = ""
        console = Console(stderr=True, highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        text = TextColumn("{task.fields[waiting]}", markup=False)
        self._bar = Progress(*columns, text, console=console, disable=not console.is_terminal)
        self._task = TaskID(0)

    def __enter__(self) -> "ProgressBar":
        """Show the bar."""
        self._bar.start()
        self._task = self._bar.add_task("", total=self._total, waiting="")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def begin(self, earlier: int) -> None:
        """So many jobs have ended in an earlier run."""
        self._earlier = earlier
        self._bar.update(self._task, completed=earlier)
        if earlier:
            note(f"{earlier} of {self._total} jobs have ended in an earlier run")

    def ended(self, status: str) -> None:
        """A job has ended."""
        self.counts[status] += 1
        self._why = ""
        self._bar.update(self._task, advance=1, waiting=self._failures())
        if self._bar.disable and time.monotonic() - self._noted_s > NOTED_EVERY_S:
            self._noted_s = time.monotonic()
            note(self.summary())

    def waits(self, why: str) -> None:
        """Nothing can be sent just now: said once until a job ends again."""
        if why != self._why:
            self._why = why
            self._bar.console.print(f"waiting: {printable(why)}", markup=False)

    def interrupted(self) -> None:
        """Say how to go on."""
        note(f"\n{self.summary()}; what was sent is answered. The same command goes on from here.")

    def summary(self) -> str:
        """How many of how many jobs have ended, and how."""
        ended = self._earlier + sum(self.counts.values())
        named = ", ".join(f"{number} {status}" for status, number in sorted(self.counts.items()))
        return f"{ended} of {self._total} jobs have ended" + (f": {named}" if named else "")

    def _failures(self) -> str:
        bad = sum(number for status, number in self.counts.items() if status != "done")
        return f"{bad} not answered" if bad else ""
