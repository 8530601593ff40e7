"""docs/logs.md: every WARNING and ERROR of the code, where it comes from, and what to do about it.

Level, line and place are read from the code; the advice is written in the page itself, in the last
column. `python -m deploy.log_lines` brings the page up to date: it keeps the advice of each line
that is still there. tests/unit/deploy/test_log_lines.py fails for a line without advice and for a
page that is not up to date.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "logs.md"
PACKAGES = (
    "worker",
    "tasks",
    "agents",
    "llm",
    "memory",
    "webhooks",
    "children",
    "gateway",
    "telemetry",
)
LEVELS = {
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}
"""Methods of a logger."""
MARK = "<!-- lines: made by deploy/log_lines.py -->\n"
HEAD = "| Level | Line | From | What to do |\n| --- | --- | --- | --- |\n"
_ROW = re.compile(r"\| (?:\w| )+ \| (?:`` (.*?) ``|_(.*?)_) \| `([^`]*)` \| (.*?) ?\|")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A call of a logger. `template` is what it formats, with the words of the code; where those
    are made elsewhere, `is_made` and it is the expression. `module` is a path in the repository."""

    level: str
    template: str
    module: str
    is_made: bool

    @property
    def key(self) -> tuple[str, str]:
        """What its advice is found by."""
        return self.module, self.shown

    @property
    def shown(self) -> str:
        """The template in a cell of a table."""
        return " ".join(self.template.split()).replace("|", "/").replace("``", "'")

    def row(self, advice: str) -> str:
        """Its row of the page."""
        line = f"_{self.shown}_" if self.is_made else f"`` {self.shown} ``"
        return f"| {self.level} | {line} | `{self.module}` | {advice} |\n"


def lines() -> list[LogLine]:
    """Every line at WARNING or above, by packages, modules and their order there."""
    paths = (path for one in PACKAGES for path in sorted((ROOT / one).rglob("*.py")))
    return [*dict.fromkeys(line for path in paths for line in _of_module(path))]


def _of_module(path: Path) -> Iterator[LogLine]:
    tree = ast.parse(path.read_text("utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    for call in sorted(calls, key=lambda one: one.lineno):
        match call.func:
            case ast.Attribute(value=logger, attr=attr) if _is_logger(logger) and (
                attr in LEVELS or attr == "log"
            ):
                level = LEVELS.get(attr) or _chosen(tree, call)
                said = call.args[1 if attr == "log" else 0]
                text = said.value if isinstance(said, ast.Constant) else None
                is_made = not isinstance(text, str) or not re.search(r"[a-z]", _words(text))
                template = text if isinstance(text, str) and not is_made else _made(call, said)
                yield LogLine(level, template, str(path.relative_to(ROOT)), is_made)


def _chosen(tree: ast.Module, call: ast.Call) -> str:
    """The level of `logger.log(level, …)` behind `level = logging.DEBUG if … else logging.ERROR`:
    that of the first such line, for the same again is DEBUG."""
    *_, last = (
        node.value.orelse.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.lineno < call.lineno
        if isinstance(node.value, ast.IfExp) and isinstance(node.value.orelse, ast.Attribute)
        if ast.unparse(node.value.body) == "logging.DEBUG"
    )
    return f"{last} once"


def _words(template: str) -> str:
    return re.sub(r"%[-.\d]*[a-z]", "", template)


def _made(call: ast.Call, said: ast.expr) -> str:
    parts = call.args if isinstance(said, ast.Constant) else [said]
    return ", ".join(ast.unparse(one) for one in parts if not isinstance(one, ast.Constant))


def _is_logger(node: ast.expr) -> bool:
    return ast.unparse(node) == "logger" or ast.unparse(node).startswith("logging.getLogger(")


def advice_of(page: str) -> dict[tuple[str, str], str]:
    """The advice that the page has, by module and line."""
    rows = (_ROW.fullmatch(line) for line in page.splitlines())
    return {(row[3], row[1] or row[2]): row[4] for row in rows if row}


def page_of(before: str, advice: Mapping[tuple[str, str], str]) -> str:
    """The page with the rows of today below what stands above MARK."""
    text = before.partition(MARK)[0] + MARK
    for package, of_package in groupby(lines(), lambda line: line.module.partition("/")[0]):
        rows = "".join(line.row(advice.get(line.key, "")) for line in of_package)
        text += f"\n## {package}\n\n{HEAD}{rows}"
    return text


def main() -> None:
    """Bring the page up to date."""
    before = PAGE.read_text("utf-8")
    PAGE.write_text(page_of(before, advice_of(before)), "utf-8")


if __name__ == "__main__":
    main()
