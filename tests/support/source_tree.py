"""The repository's Python files as syntax, for the tests of its structure."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "worker", "gateway", "tasks", "webhooks", "agents", "memory", "llm", "children", "telemetry"
)  # fmt: skip
PACKAGES = (*PRODUCT, "sandbox", "pytest_griot", "bench", "examples", "deploy")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Found:
    """A definition and where it is."""

    path: str
    name: str
    node: Definition

    @property
    def place(self) -> str:
        """As a list of exceptions names it."""
        return f"{self.path}:{self.name}"

    @property
    def lines(self) -> int:
        """From `def` to the last line, the docstring included."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


def modules(*places: str) -> list[Path]:
    """All Python files below these folders."""
    return sorted(path for place in places for path in (ROOT / place).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(path.read_text("utf-8"))


def definitions(*places: str) -> Iterator[Found]:
    """All classes and functions, nested ones too."""
    for path in modules(*places):
        yield from _below(tree_of(path), str(path.relative_to(ROOT)), "")


def _below(node: ast.AST, path: str, prefix: str) -> Iterator[Found]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            name = f"{prefix}{child.name}"
            yield Found(path, name, child)
            yield from _below(child, path, f"{name}.")
        else:
            yield from _below(child, path, prefix)


def functions(*places: str) -> Iterator[Found]:
    """All functions and methods."""
    return (found for found in definitions(*places) if isinstance(found.node, Function))


def assert_listed(found: set[str], listed: dict[str, str]) -> None:
    """Exactly the listed places, each with a reason."""
    new, gone = found - listed.keys(), listed.keys() - found
    assert not new, f"new: look for the seam, or list it with its reason: {sorted(new)}"
    assert not gone, f"no exception any more: take it off the list: {sorted(gone)}"
    assert all(listed.values()), "an exception has a reason"


def anchors(path: Path) -> set[str]:
    """The headings of a document as links name them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
