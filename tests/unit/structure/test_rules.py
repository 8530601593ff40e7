"""The project's rules that no tool checks. Each list of exceptions may only become shorter."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import (
    PACKAGES,
    PRODUCT,
    ROOT,
    Definition,
    Found,
    assert_listed,
    definitions,
    functions,
    modules,
    tree_of,
)

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_MODULES_IN_A_FOLDER = 25

LONG: dict[str, str] = {}
"""Modules and functions over the limit, as `path` or `path:function`, and why."""

LATE_IMPORTS: dict[str, str] = {}
"""Functions that import something, as `path:function`, and why."""

CATCH_ALL: dict[str, str] = {
    "agents/tool_threads.py:result_of": "an operator's function in a thread: the turn that waits "
    "for it gets whatever it raises, as of a future",
    "tasks/beat/mailbox_sweep.py:guarded": "the sweeper, a loop that nothing may end: what one "
    "mailbox raises is logged with its traceback and costs no other mailbox its wake-up",
}
"""Functions with an `except Exception` or wider that goes on, as `path:function`, and why."""

QUOTING_ERRORS = {
    "JSONDecodeError", "JSONEncodeError", "UnicodeDecodeError", "UnicodeEncodeError",
}  # fmt: skip
"""Errors that hold what they could not read."""

QUOTING_CAUSES: dict[str, str] = {
    "agents/profiles.py:_read": "the file of profiles is the operator's own",
}
"""Functions that raise an error `from` one of these, as `path:function`, and why."""

NOT_OURS = {".env", ".coverage", ".git"}
"""What else may lie at the top of a working tree."""

INNER_IMPORTS: dict[str, str] = {
    "bench/uncounted.py:telemetry.series": "takes out what its other side is to pay for",
}
"""What bench and examples import of ours besides the faces below, as `path:module`, and why."""

FACES = {"agents", "llm", "memory", "tasks", "tasks.aio", "tasks.errors"}
"""The modules that are made for others to import."""

ENVIRONMENT_READERS: dict[str, str] = {
    "bench/producing.py": "gives the process that it starts an environment",
    "pytest_griot/here.py": "gives the process of a service's tests other settings for a while",
    "sandbox/stack.py": "hands its own environment on to the processes it starts",
    "sandbox/users.py": "a switch for tests that is no setting of an operator",
    "telemetry/settings.py": "one of OpenTelemetry's own variables, which its SDK reads there",
    "worker/flower.py": "removes what Kubernetes sets there, before Flower reads it",
    "worker/cli/procfile.py": "hands its own environment on to the processes it starts",
    "worker/traces/settings.py": "gives OpenTelemetry's SDK, which reads no file, what `.env` has",
    "worker/unknown_settings.py": "looks for names that are nearly settings",
    "tasks/process/crash_points.py": "a switch for tests that is no setting of an operator",
}
"""Modules besides settings.py that look into the environment, and why."""

OTHER_TEXTS = ("tests", "docs", ".github", ".ci", "requirements")
TEXT_SUFFIXES = {
    ".py", ".lua", ".toml", ".md", ".yml", ".yaml", ".lock", ".cfg", ".ini", ".conf", ".sh", ".txt",
    ".service", ".env", ".json", "",
}  # fmt: skip


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function itself, not in a function within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition):
            yield child
            yield from own_nodes(child)


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
        for found in functions(*PRODUCT)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in own_nodes(found.node))
    }
    assert_listed(late, LATE_IMPORTS)


def test_a_folder_can_be_read_at_a_glance() -> None:
    """25 modules, or 25 scripts, at most; beyond that a folder has folders."""
    crowded = {
        f"{folder.relative_to(ROOT)}/*{suffix}": count
        for place in (*PACKAGES, "tests")
        for folder in ((ROOT / place), *(ROOT / place).rglob("*/"))
        for suffix in (".py", ".lua")
        if (count := modules_in(folder, suffix)) > MAX_MODULES_IN_A_FOLDER
    }
    assert crowded == {}


def modules_in(folder: Path, suffix: str) -> int:
    """How many files of this kind lie in the folder itself, what Python wants there aside."""
    return len({path for path in folder.glob(f"*{suffix}") if path.name != "__init__.py"})


def test_bench_and_examples_import_what_is_public() -> None:
    """They show how Griot is used, so its inner modules stay free to change."""
    inner = {
        f"{path.relative_to(ROOT)}:{node.module}"
        for path in modules("bench", "examples")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
        and node.module is not None
        and node.module.partition(".")[0] in PRODUCT
        and node.module not in FACES
    }
    assert_listed(inner, INNER_IMPORTS)


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
        for found in functions(*PRODUCT)
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
    """Whether it only gives the type checker one way to call what follows."""
    names = (one for one in found.node.decorator_list if isinstance(one, ast.Name))
    return any(one.id == "overload" for one in names)


def test_no_error_carries_what_could_not_be_read() -> None:
    """A traceback, or a tool that collects them, would show it: somebody's words, or a secret."""
    quoting = {
        found.place
        for found in functions(*PRODUCT)
        for handler in own_nodes(found.node)
        if isinstance(handler, ast.ExceptHandler) and handler.type is not None
        if any(error in ast.unparse(handler.type) for error in QUOTING_ERRORS)
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise) and isinstance(node.cause, ast.Name)
    }
    assert_listed(quoting, QUOTING_CAUSES)


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


def test_no_cancel_is_swallowed() -> None:
    """Python 3.11's `asyncio.wait_for` passes over a cancel that comes as its future is done, and
    what was cancelled runs for ever; `asyncio.timeout` does not."""
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules(*PRODUCT)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.wait_for"
    }
    assert_listed(found, {})


def texts() -> Iterator[Path]:
    """The files of the repository that people read."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name not in NOT_OURS)
    for place in (*PACKAGES, *OTHER_TEXTS):
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
