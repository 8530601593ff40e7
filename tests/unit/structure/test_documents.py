"""The documents: each term once, only keys that exist, no word that only we would understand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import reference
from memory.keys import DEFAULT_PREFIX
from tasks.job.job import ChatJob
from tests.support.key_kinds import KINDS
from tests.support.source_tree import anchors

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = (
    *("worker", "gateway", "tasks", "agents", "memory", "llm"),
    *("children", "telemetry", "sandbox", "pytest_griot", "bench", "examples"),
)
README = ROOT / "README.md"
DOCUMENTS = sorted([README, *(ROOT / "docs").glob("*.md")])
PAGES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
GLOSSARY = ROOT / "docs" / "glossary.md"
REDIS_KEYS = ROOT / "docs" / "redis-keys.md"

NAMESPACES = {"namespace"}
"""What may follow the prefix in a document besides a kind of key: the placeholder for one."""

PRIVATE_WORDS = (
    r"houses?", r"rooms?", r"doorbells?", r"bears?", r"borne", r"in earnest", r"knock(?:s|ed|ing)?",
    r"ends the same", r"stand(?:s|ing)? in line", r"places? at (?:a|the|its) (?:model|server)",
    r"untold", r"census", r"journeys?", r"interviews?", r"ushers?", r"ledgers?",
    r"programmes?",
)  # fmt: skip
"""What documents say in the field's words instead. `untold` may stand as the name of a key."""


def terms() -> list[tuple[str, str]]:
    """Each term of the glossary and what it says, in the order of the page."""
    return re.findall(r"^- \*\*(.+?)\*\*: (.+)$", GLOSSARY.read_text("utf-8"), re.MULTILINE)


def kind_of(pattern: str) -> str:
    """The word by which a kind of key is known."""
    return pattern.partition(":")[0]


def prose(path: Path) -> str:
    """A document without its code."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "", text)


def defined(path: Path) -> Iterator[str]:
    """The classes and functions of a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


# ---- the glossary


def test_the_glossary_has_each_term_once_and_in_order() -> None:
    """Alphabetically, whatever the case."""
    names = [name.casefold() for name, _ in terms()]
    assert len(names) > 40
    assert names == sorted(set(names))


def test_the_glossary_says_each_term_in_one_sentence() -> None:
    """One line that ends with its only full stop."""
    lines = [line for line in GLOSSARY.read_text("utf-8").splitlines() if line.startswith("- ")]
    assert len(lines) == len(terms())
    assert [name for name, said in terms() if not re.fullmatch(r"[A-Z][^.]*\.", said)] == []


def test_every_kind_of_key_is_explained() -> None:
    """In the table of keys, or in the glossary."""
    table = set(
        re.findall(rf"^\| `{DEFAULT_PREFIX}:([a-z_]+)", REDIS_KEYS.read_text("utf-8"), re.M)
    )
    known = table | {name.replace(" ", "_") for name, _ in terms()}
    assert {kind_of(kind.pattern) for kind in KINDS} - known == set()


# ---- what documents say


@pytest.mark.parametrize("page", PAGES)
def test_a_document_names_only_keys_that_exist(page: str) -> None:
    """By their kind, after the prefix."""
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(rf"\b{DEFAULT_PREFIX}:\{{?([a-z_]+)", text))
    assert named - {kind_of(kind.pattern) for kind in KINDS} - NAMESPACES == set()


@pytest.mark.parametrize("page", PAGES)
def test_a_document_uses_the_fields_words(page: str) -> None:
    """A reader who knows Celery and Redis needs no others."""
    found = re.findall(rf"\b(?:{'|'.join(PRIVATE_WORDS)})\b", prose(ROOT / page), re.IGNORECASE)
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_a_link_of_a_document_leads_somewhere(page: str) -> None:
    """To a file of the repository, and to a heading that it has."""
    here = ROOT / page
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(here)):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        path = (here.parent / name).resolve() if name else here
        is_there = path.is_file() and (not anchor or anchor in anchors(path))
        if not is_there:
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_a_path_in_a_document_exists(page: str) -> None:
    """A folder or file of the repository, as code in the text."""
    tops = "|".join((*PACKAGES, "deploy", "docs", "tests"))
    named = re.findall(rf"`((?:{tops})/[\w./-]*)`", (ROOT / page).read_text("utf-8"))
    ours = [path for path in named if not path.endswith(".go")]  # those are Ollama's own
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_a_document_refers_to_nothing_outside_the_repository() -> None:
    """What the code rests on is written down here."""
    elsewhere = r"session-mailbox\.md|services-readme\.md|product\.md|[Tt]he specification"
    assert [page for page in PAGES if re.search(elsewhere, (ROOT / page).read_text("utf-8"))] == []


def test_the_readme_names_every_option_of_a_job() -> None:
    """All but the three that every job has."""
    options = re.search(r"^- \*\*Options\*\*:.*?^- ", README.read_text("utf-8"), re.M | re.S)
    assert options is not None
    wanted = set(ChatJob.model_fields) - {"agent_id", "session_id", "message"}
    assert wanted - set(re.findall(r"`(\w+)`", options.group())) == set()


def test_the_readme_shows_the_defaults_that_the_settings_have() -> None:
    """In its table of those that one needs first."""
    defaults = {
        name: reference.default_text(field)
        for _, kind in reference.SECTIONS
        for name, field in reference.named_fields(kind)
    }
    _, _, section = README.read_text("utf-8").partition("## Settings")
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| ([^|]+) \|", section, re.MULTILINE)
    assert len(rows) > 5
    for names, shown in rows:
        known = [defaults[name] for name in re.findall(r"[A-Z_]+", names)]
        if any(known):
            assert shown.replace("`", "").split(", ") == known, names


# ---- what code is called


def test_griot_is_installed_from_a_path_everywhere() -> None:
    """An index may have another package of that name: nobody is told to install that one."""
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    texts = [*DOCUMENTS, ROOT / "griot.py", *modules]
    by_name = re.compile(r"pip install ['\"]?griot\b")
    decisions = ROOT / "docs" / "decisions.md"
    found = {path.name for path in texts if by_name.search(path.read_text("utf-8"))}
    assert found - {decisions.name} == set()
