"""`python -m bench`: measure, print the table."""

import argparse
import json
import sys
from collections.abc import Sequence
from inspect import getmodule
from pathlib import Path

from bench import report
from bench.arena import Arena
from bench.html.report import html
from bench.measures import LONG, MEASURES, Measure
from bench.rows import Row
from bench.size import FULL, QUICK


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    every = {**MEASURES, **LONG}
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure Griot, as ratios.",
        epilog="\n".join(f"{name:12}{told(measure)}" for name, measure in every.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a short look: small and noisy")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(every),
        metavar="NAME",
        help="measure only this, may be repeated; the names are below",
    )
    parser.add_argument("--million", action="store_true", help="a million sessions, too: minutes")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--markdown", action="store_true", help="the table as the docs have it")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts, too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs in this directory")
    return parser.parse_args(given)


def told(measure: Measure) -> str:
    """What a measure is: the first sentence of its module; of several in one module, its own."""
    said = measure.__doc__ if measure.__name__ != "measure" else getmodule(measure).__doc__
    return " ".join((said or "").partition("\n\n")[0].split())


def chosen(options: argparse.Namespace) -> dict[str, Measure]:
    """What is to be measured."""
    if options.only:
        every = {**MEASURES, **LONG}
        return {name: every[name] for name in options.only}
    return {**MEASURES, **LONG} if options.million else dict(MEASURES)


def main() -> None:
    """Measure and print; progress goes to the standard error output."""
    options = arguments()
    size = QUICK if options.quick else FULL
    facts = report.machine()
    rows: list[Row] = []
    with Arena(keep_dir=options.keep) as arena:
        for name, measure in chosen(options).items():
            arena.say(f"{name} starts")
            found = measure(arena, size)
            rows += found
            for row in found:
                arena.say(f"  {report.row_line(row)}")
    after = report.machine()
    facts |= {f"{name}_after": after[name] for name in ("load_1min", "million_additions_ms")}
    document = report.document(rows, facts)
    if options.html is not None:
        options.html.write_text(html(document), "utf-8")
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    machine = ", ".join(f"{name} {value}" for name, value in facts.items())
    shown = report.markdown(rows) if options.markdown else report.table(rows)
    sys.stdout.write(f"\n{shown}\n\n{machine}\n")


if __name__ == "__main__":
    main()
