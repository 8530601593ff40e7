"""The words that the field has others for stay out, and one name means one thing."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.support.key_kinds import KINDS
from tests.support.source_tree import (
    PACKAGES,
    PRODUCT,
    ROOT,
    assert_listed,
    definitions,
    modules,
)

RETIRED_KEYS = {
    *("asked", "writes", "places", "line", "lines", "arrivals", "pace", "turns"),
    *("stops", "wait", "summarising"),
}
RETIRED_NAMES = {
    # Classes.
    *("Usher", "Places", "Holder", "Begun", "Private", "Carried"),
    *("Journey", "Census", "Gauge", "Room", "Gate", "Interview"),
    *("House", "Programme", "Ledger"),
    # Functions.
    *("_knock", "begins", "hears", "obey_stops", "senseless", "forgiving"),
}
RETIRED_MODULES = {name.lower().strip("_") for name in RETIRED_NAMES} | RETIRED_KEYS

SHARED_NAMES: dict[str, str] = {}
"""Class names that two modules of the product use, and for what."""

NOT_SAID = {
    "architecture.md: look at this mailbox": "what a wake-up means",
    "SECURITY.md: Report a vulnerability": "a button of GitHub",
}
"""Quotations in pages that no process says."""

OLLAMA_FACTS = ROOT / "docs" / "ollama.md"


def test_no_key_has_a_retired_name() -> None:
    """The first part of a key's pattern is its kind."""
    kinds = {re.split(r"\W", kind.pattern)[0] for kind in KINDS}
    assert kinds & RETIRED_KEYS == set()


def test_no_class_and_no_function_has_a_retired_name() -> None:
    """docs/glossary.md has the words that took their place."""
    retired = {
        found.place
        for found in definitions(*PACKAGES)
        if found.name.rpartition(".")[2] in RETIRED_NAMES
    }
    assert retired == set()


def test_no_module_and_no_folder_has_a_retired_name() -> None:
    """A file is found by its name."""
    retired = {
        path.relative_to(ROOT)
        for path in modules(*PACKAGES)
        if RETIRED_MODULES & {*path.relative_to(ROOT).parent.parts, path.stem}
    }
    assert retired == set()


def test_a_class_name_means_one_thing() -> None:
    """In the product; a reader of an import needs no second look at where it comes from."""
    places = defaultdict(set)
    for found in definitions(*PRODUCT):
        if isinstance(found.node, ast.ClassDef):
            places[found.name.rpartition(".")[2]].add(found.path)
    shared = {name for name, paths in places.items() if len(paths) > 1}
    assert_listed(shared, SHARED_NAMES)


def mentions(pattern: str, *places: str) -> set[tuple[str, str]]:
    """Where the code, comments and docstrings included, says what matches, and its first group."""
    files = [*modules(*places), *(file for one in places for file in (ROOT / one).rglob("*.lua"))]
    return {
        (str(path.relative_to(ROOT)), match.group(1))
        for path in files
        for match in re.finditer(pattern, re.sub(r"\s+", " ", path.read_text("utf-8")))
    }


def test_a_document_that_the_code_names_is_in_the_repository() -> None:
    """Nobody can read another."""
    known = {path.name for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
    unknown = {
        (place, name) for place, name in mentions(r"([\w-]+\.md)\b", *PACKAGES) if name not in known
    }
    assert unknown == set()


def test_a_section_that_the_code_names_is_in_the_page_on_ollama() -> None:
    """As in "docs/ollama.md, Loading"."""
    headings = re.findall(r"^## (.+)$", OLLAMA_FACTS.read_text("utf-8"), re.MULTILINE)
    named = mentions(r"docs/ollama\.md, ([^).:;]+)", *PACKAGES, "tests/contract", "tests/e2e")
    assert named, "the pattern finds them"
    unknown = {
        (place, section)
        for place, named_here in named
        for section in named_here.split(" and ")
        if section not in headings
    }
    assert unknown == set()


def test_a_decision_that_the_code_names_is_in_the_decisions() -> None:
    """As in `docs/decisions.md, "Owed results"`: a subject, or a decision by its heading."""
    page = (ROOT / "docs" / "decisions.md").read_text("utf-8").replace("`", "")
    headings = re.findall(r"^##+ (.+?)(?: \(\d.*\))?$", page, re.MULTILINE)
    comment = r"(?: (?:#|--))?"
    named = mentions(rf'docs/decisions\.md,{comment} "([^"]+)"', *PACKAGES)
    named = {(place, re.sub(r" (?:#|--) ", " ", heading)) for place, heading in named}
    assert named, "the pattern finds them"
    assert {(place, heading) for place, heading in named if heading not in headings} == set()


LITERARY = (
    *(r"cannot be doubled", r"may be in or not", r"longer ago than", r"\bbears\b", r"in earnest"),
    *(r"\bmended\b", r"fall silent", r"\banew\b", r"put right", r"want of"),
    *(r"no sign of life", r"out of order", r"passes over", r"goes without saying"),
)
"""Private idioms and literary turns that a user has met in a message or in a page."""
FORBIDDEN_WORDING = (
    *LITERARY,
    *(r"is no (?:JSON|file|TOML|text|number|object)\b", r"\bnobody\b"),
)
"""What no message says; a page may, where a sentence has room."""
HISTORY = {"decisions.md", "CHANGELOG.md", "ollama.md"}
"""Pages of what was, and of what another program says."""
PAGES = [
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")) if path.name not in HISTORY
]


def _sentences(path: Path) -> Iterator[str]:
    """What a module may say to a user: its texts with a blank in them, docstrings excepted."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield from (text for text in [node.value] if isinstance(text, str) and " " in text)


def test_no_message_has_a_wording_that_readers_stumbled_over() -> None:
    """Plain words: what happened, what follows, what to do."""
    found = {
        (str(path.relative_to(ROOT)), wording)
        for path in modules(*PACKAGES)
        for sentence in _sentences(path)
        for wording in FORBIDDEN_WORDING
        if re.search(wording, sentence)
    }
    assert found == set()


def test_no_page_has_a_literary_turn() -> None:
    """Outside of code and quoted names; a reader of English as a second language looks up none."""
    found = {
        (path.name, wording)
        for path in PAGES
        for wording in LITERARY
        if re.search(wording, re.sub(r"\s+", " ", path.read_text("utf-8")))
    }
    assert found == set()


def test_a_sentence_that_a_page_quotes_is_one_of_the_code() -> None:
    """Whoever searches a page for what a process has said finds it, and what is found is true."""
    said = re.sub(
        r"\s+", " ", " ".join(text for path in modules(*PACKAGES) for text in _texts(path))
    )
    quoted = {
        (path.name, " ".join(quote.split()))
        for path in PAGES
        for quote in re.findall(r'"([^"`$]+)"', _prose(path))
        if len(quote.split()) >= 3
    }
    unknown = {(page, quote) for page, quote in quoted if quote not in said}
    assert_listed({f"{page}: {quote}" for page, quote in unknown}, NOT_SAID)


def _texts(path: Path) -> Iterator[str]:
    """The pieces of texts of a module in their order; what is put in stays out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _prose(path: Path) -> str:
    """A page without its blocks of code and what is `so`."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "", text)
