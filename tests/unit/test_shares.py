"""Which process of tests runs what, and that nothing is left out."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from xdist.workermanage import WorkerController

from tests.support.shares import DEAR, SharedScheduling, is_of_other, share_of

ROOT = Path("/repository")
SHORT, REST = ["tests/unit/a.py::t", "tests/contract/b.py::t"], ["tests/e2e/c.py::t"]


class Node:
    """A process of xdist: what it was given, and whether it may end."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        """Run these."""
        self.given.extend(indices)

    def shutdown(self) -> None:
        """End when all is run."""
        self.shutting_down = True


def _scheduling(*collections: list[str]) -> tuple[SharedScheduling, list[Node]]:
    options = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(
        getvalue=lambda _: ["popen"] * len(collections), option=options, hook=None
    )
    scheduling = SharedScheduling(cast("pytest.Config", config))
    nodes = [Node() for _ in collections]
    for node in nodes:
        scheduling.add_node(cast("WorkerController", node))
    for node, collection in zip(nodes, collections, strict=True):
        scheduling.add_node_collection(cast("WorkerController", node), collection)
    scheduling.schedule()
    return scheduling, nodes


@pytest.mark.parametrize("processes", [1, 2, 4, 10, 40])
def test_each_file_has_a_process(processes: int) -> None:
    """With any number of processes some one collects it."""
    shares = {share_of(number, processes) for number in range(processes)}
    for path in ("tests/unit/a.py", "tests/contract", "tests/e2e/c.py", "tests/test_x.py", *DEAR):
        assert any(not is_of_other(ROOT / path, ROOT, share) for share in shares), path


@pytest.mark.parametrize("path", DEAR)
def test_one_process_alone_collects_what_is_dear_to_import(path: str) -> None:
    """So that the others need not import LangChain; all that do so are listed."""
    others = [is_of_other(ROOT / path, ROOT, share_of(number, 10)) for number in range(10)]
    assert others.count(False) == 1
    assert (Path(__file__).parents[2] / path).exists()


def test_all_that_import_langchain_are_listed() -> None:
    """Each of the others would import it in each process."""
    here = Path(__file__).parents[2]
    files = (file for part in ("e2e", "faults") for file in (here / "tests" / part).rglob("*.py"))
    found = {
        file.relative_to(here).as_posix()
        for file in files
        if re.search(r"^(from|import) langchain", file.read_text("utf-8"), re.MULTILINE)
    }
    assert found == set(DEAR)


def test_a_new_process_takes_the_place_of_any() -> None:
    """It is counted behind all that were started first."""
    assert share_of(10, 10) == ""


@pytest.mark.parametrize(
    ("path", "short", "rest"),
    [
        ("", False, False),
        ("tests", False, False),
        ("tests/unit", False, True),
        ("tests/contract/slots/test_a.py", False, True),
        ("tests/e2e", True, False),
        ("tests/unit_of_others", True, False),
        ("elsewhere.py", True, False),
    ],
)
def test_a_process_leaves_out_what_others_collect(path: str, short: bool, rest: bool) -> None:
    """And never the folders above both."""
    found = (is_of_other(ROOT / path, ROOT, "short"), is_of_other(ROOT / path, ROOT, "rest"))
    assert found == (short, rest)
    assert not is_of_other(ROOT / path, ROOT, "")


def test_each_runs_what_it_has_collected() -> None:
    """Whoever has nothing left to do ends, while others have."""
    scheduling, (short, rest) = _scheduling(SHORT, REST)
    assert (short.given, rest.given) == ([0, 1], [0])
    scheduling.mark_test_complete(cast("WorkerController", short), 0)
    assert short.shutting_down
    assert rest.shutting_down
    assert scheduling.collection == SHORT + REST


def test_what_a_crashed_process_had_is_run_by_another() -> None:
    """The new one has collected all: its numbers are other ones."""
    scheduling, (_, rest) = _scheduling(SHORT, REST)
    assert scheduling.remove_node(cast("WorkerController", rest)) == REST[0]
    new = Node()
    scheduling.add_node(cast("WorkerController", new))
    scheduling.add_node_collection(cast("WorkerController", new), SHORT + REST)
    scheduling.schedule()
    assert new.given == [2]
    assert new.shutting_down
