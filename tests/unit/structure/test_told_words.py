"""What a log line or an error tells of others' words: ids and names go through what bounds them."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.source_tree import ROOT, modules, tree_of

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
PLACES = ("tasks", "memory", "llm", "agents", "worker")
ON_A_SCREEN = "worker/cli/"
"""What its commands print goes through `printable`, the messages of their errors too."""

OF_THE_FILE = {
    "agents/toolbox.py": "ids of agents in the operator's own file of profiles",
}


def _is_id(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name == "id" or name.endswith("_id")


def _is_log_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and getattr(node.func.value, "id", "") == "logger"
    )


def _told(tree: ast.AST) -> Iterator[ast.expr]:
    """Arguments of log calls, and what stands in a text without being represented (`!r`)."""
    for node in ast.walk(tree):
        if _is_log_call(node):
            yield from node.args  # type: ignore[attr-defined]
        elif isinstance(node, ast.Raise | ast.Return):
            yield from (
                part.value
                for part in ast.walk(node)
                if isinstance(part, ast.FormattedValue) and part.conversion == -1
            )


def _raw_ids(path: Path) -> Iterator[str]:
    place = str(path.relative_to(ROOT))
    if place.startswith(ON_A_SCREEN) or place in OF_THE_FILE:
        return
    for told in _told(tree_of(path)):
        if _is_id(told):
            yield f"{place}:{told.lineno}: {ast.unparse(told)}"


def test_no_id_is_told_as_it_was_given() -> None:
    """It goes through `shown_id` (or `!r`, in an error): others choose it, line's ends and all."""
    assert [found for path in modules(*PLACES) for found in _raw_ids(path)] == []
