"""The rules of this house that no tool checks. Each list of exceptions may only become shorter."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("worker", "tasks", "agents", "memory", "llm", "sandbox")

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40

LONG: dict[str, str] = {}
"""Modules and functions over the limit, as `path` or `path:function`, and why."""

LATE_IMPORTS: dict[str, str] = {}
"""Functions that import something, as `path:function`, and why."""

CATCH_ALL: dict[str, str] = {
    "agents/tool_threads.py:_run": "an operator's function in a thread: whatever it raises is told "
    "to the turn that waits for it, as a future would",
}
"""Functions with an `except Exception` or wider that goes on, as `path:function`, and why."""

NOT_OURS = {".env", ".coverage", ".git"}
"""What else may lie at the top of a working tree."""

ENVIRONMENT_READERS: dict[str, str] = {
    "sandbox/stack.py": "hands its own environment on to the processes it starts",
    "worker/cli/procfile.py": "hands its own environment on to the processes it starts",
    "tasks/process/crash_points.py": "a switch for tests that is no setting of an operator",
}
"""Modules besides settings.py that look into the environment, and why."""

PLACES_OF_CODE = ("tests", "examples", "bench", "deploy", "docs", ".github", ".ci", "requirements")
TEXT_SUFFIXES = {
    ".py", ".lua", ".toml", ".md", ".yml", ".yaml", ".lock", ".cfg", ".ini", ".conf", ".sh", ".txt",
    ".service", ".env", ".json", "",
}  # fmt: skip

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
        """As the lists above have it."""
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


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function itself, not in a function within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition):
            yield child
            yield from own_nodes(child)


def assert_listed(found: set[str], listed: dict[str, str]) -> None:
    """Exactly the listed places, each with a reason."""
    assert found - listed.keys() == set(), "new: look for the seam, or list it with its reason"
    assert listed.keys() - found == set(), "no exception any more: take it off the list"
    assert all(listed.values())


def test_modules_and_functions_fit_in_the_head() -> None:
    """300 lines and 40 lines; what is longer is listed with its reason."""
    long_modules = {
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        if len(path.read_text("utf-8").splitlines()) > MAX_MODULE_LINES
    }
    long_functions = {
        found.place for found in functions(*PACKAGES) if found.lines > MAX_FUNCTION_LINES
    }
    assert_listed(long_modules | long_functions, LONG)


def test_imports_stand_at_the_top() -> None:
    """An import in a function hides a cycle or a cost."""
    late = {
        found.place
        for found in functions(*PACKAGES)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in own_nodes(found.node))
    }
    assert_listed(late, LATE_IMPORTS)


def is_catch_all(handler: ast.ExceptHandler) -> bool:
    """Whether it takes every error and does not raise again."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    is_wide = handler.type is None or bool(names & {"Exception", "BaseException"})
    return is_wide and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def test_nobody_catches_everything() -> None:
    """Only the edge of a process may, and says why."""
    wide = {
        found.place
        for found in functions(*PACKAGES)
        if any(isinstance(n, ast.ExceptHandler) and is_catch_all(n) for n in own_nodes(found.node))
    }
    at_top = {
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        if any(
            isinstance(node, ast.ExceptHandler) and is_catch_all(node)
            for node in own_nodes(tree_of(path))
        )
    }
    assert_listed(wide | at_top, CATCH_ALL)


def is_public(name: str) -> bool:
    """Whether no part of a dotted name is private or special."""
    return not any(part.startswith("_") for part in name.split("."))


def is_nested(found: Found, names: set[str]) -> bool:
    """Whether it is defined within a function, where nobody else sees it."""
    outer = found.place.rpartition(".")[0]
    return outer in names


def is_overload(found: Found) -> bool:
    """Whether it only tells the type checker of one way to call what follows."""
    names = (one for one in found.node.decorator_list if isinstance(one, ast.Name))
    return any(one.id == "overload" for one in names)


def test_everything_public_has_a_docstring() -> None:
    """Modules, classes, functions, methods; one that overrides may stand on what it overrides."""
    of_functions = {found.place for found in functions(*PACKAGES)}
    silent = [
        found.place
        for found in definitions(*PACKAGES)
        if is_public(found.name)
        and not is_nested(found, of_functions)
        and not is_overload(found)
        and ast.get_docstring(found.node) is None
    ]
    silent += [
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        if ast.get_docstring(tree_of(path)) is None
    ]
    assert silent == []


def test_every_test_says_what_it_promises() -> None:
    """In a docstring, for its name alone is a sentence without a reason."""
    silent = [
        found.place
        for found in functions("tests")
        if found.name.rpartition(".")[2].startswith("test_")
        and ast.get_docstring(found.node) is None
    ]
    assert silent == []


def test_no_test_sleeps() -> None:
    """tests/support/waiting.py waits for facts; it alone looks at the clock."""
    sleepers = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("tests")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        and path.name != "waiting.py"
    }
    assert_listed(sleepers, {})


def texts() -> Iterator[Path]:
    """The files of the repository that people read."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name not in NOT_OURS)
    for place in (*PACKAGES, *PLACES_OF_CODE):
        yield from (path for path in (ROOT / place).rglob("*") if path.is_file())


def test_nothing_speaks_of_the_machine_it_was_written_on() -> None:
    """No path of a home or of this tree, no address of a package index."""
    own = [re.escape(f"{place}/") for place in (ROOT, Path.home()) if len(place.parts) > 2]
    pattern = re.compile("|".join([*own, r"/(?:home|Users)/\w", r"--(?:extra-)?index-url\b"]))
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in texts()
        if path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
        for match in pattern.finditer(path.read_text("utf-8", errors="replace"))
        if path != Path(__file__).resolve()
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_called_after_nothing(package: str) -> None:
    """utils, helpers, manager, base, common: names that answer no question."""
    named = {path.stem for path in modules(package)}
    assert named & {"utils", "util", "helpers", "helper", "manager", "base", "common"} == set()


def test_the_environment_is_read_in_the_settings_only() -> None:
    """Below them there are constructor arguments."""
    readers = {
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert_listed(readers, ENVIRONMENT_READERS)
