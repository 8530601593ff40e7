"""Which of xdist's processes runs what: two of five the unit and contract tests, the others the
rest.

A process has to collect what it may be given, and most of the items are the short ones'. What
imports LangChain is collected by one of the others alone: that takes a second of a core. With
TESTS_SHARES=1 none of the processes collects all (`make test` does that for the whole suite).
"""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

VARIABLE = "TESTS_SHARES"
SHORT = ("tests/unit", "tests/contract")
DEAR = (
    "tests/e2e/gateway/test_embeddings.py",
    "tests/e2e/gateway/test_frameworks.py",
    "tests/e2e/test_langchain_standard.py",
    "tests/e2e/test_ollama_clients.py",
)
"""All that import LangChain."""
OF_SHORT, OF_REST, OF_REST_AND_DEAR = "short", "rest", "rest and dear"
SHORT_PART = 0.4
"""Of the processes, those for the short ones, which use a core while the others mostly wait."""


def are_wanted() -> bool:
    """Whether the processes of this run have shares."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def share_of(number: int, processes: int) -> str:
    """Of one of so many, counted from 0; '' is all, for one that takes the place of another that
    has crashed."""
    if processes < 2 or number >= processes:
        return ""
    short = max(1, int(processes * SHORT_PART))
    if number < short:
        return OF_SHORT
    return OF_REST_AND_DEAR if number == short else OF_REST


def is_of_other(path: Path, root: Path, share: str) -> bool:
    """Whether another process collects this file or folder."""
    where = path.relative_to(root).as_posix() if path.is_relative_to(root) else "."
    if not share or where in (".", "tests", "tests/__init__.py", "tests/conftest.py"):
        return False
    is_short = any(where == one or where.startswith(f"{one}/") for one in SHORT)
    return is_short != (share == OF_SHORT) or (where in DEAR and share == OF_REST)


class SharedScheduling(LoadFileScheduling):
    """By files, each to a process that has collected it."""

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Note what a process can run: not the same as the others."""
        assert node in self.assigned_work
        self.registered_collections[node] = list(collection)

    def schedule(self) -> None:
        """Hand out the files: two to each at first, for xdist begins a test when it knows what
        follows it."""
        if self.collection is None:
            self.collection = list(
                dict.fromkeys(chain.from_iterable(self.registered_collections.values()))
            )
            for test in self.collection:
                self.workqueue.setdefault(self._split_scope(test), {})[test] = False
        for node in self.nodes:
            self._reschedule(node)
        super().schedule()

    def _assign_work_unit(self, node: WorkerController) -> None:
        can_run = {self._split_scope(test) for test in self.registered_collections[node]}
        scope = next((scope for scope in self.workqueue if scope in can_run), None)
        if scope is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)
