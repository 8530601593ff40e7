"""What the code does at Redis: the kinds of keys of memory/keys.py, and what each Lua script does
on which of them.

A kind is named by the word behind the key prefix, with the colon that follows it: `due` is one key,
`dead` another, and `dead:` stands for one key of each session.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path

from memory.keys import Keyspace
from memory.redis.command import LuaScript

MEMORY = Path(__file__).resolve().parents[2] / "memory"
SHARED_PIECES = "redis"
PLACEHOLDER = "X"

NAMES = {
    "pointer": "job:",
    "outboxes": "outbox",
    "fields": "fields:",
    "value": "state: session:",
    "buckets": "quota:",
    "days": "usage:",
    "elements": "history: dead:",
}
"""Names in the headers of scripts that no class of memory/keys.py has: what is passed for them."""
ANY_INDEX = "index"
"""A name in the headers of scripts for any index: a role says of which."""
ANY_DUE_LIST = "due"
"""The same for lists of what is due."""

RUN = frozenset({"eval", "evalsha"})
KEYLESS = frozenset({"time"})
OF_TYPE = {"H": "hash", "Z": "zset", "X": "stream", "L": "list", "R": "list"}
"""The type that a command wants, by its first letter; of others nothing is known."""

_CALL = re.compile(r"redis\.p?call\(")
_FUNCTION = re.compile(r"local function (\w+)\((\w+)")
_HEADER = re.compile(r"^-- KEYS  (.+)$", re.MULTILINE)
_TOKEN = re.compile(r"'[^']*'|[A-Za-z_]\w*|[()]")


@dataclass(frozen=True, slots=True)
class Use:
    """A command, and the kinds of the keys that one call of it touches together."""

    command: str
    kinds: frozenset[str]


def key_kinds() -> frozenset[str]:
    """Every kind of key in memory/keys.py."""
    return frozenset(kind for kinds in kinds_by_name().values() for kind in kinds)


def pattern(kind: str, prefix: str) -> str:
    """The pattern of all keys of a kind."""
    return f"{prefix}:{kind}*" if kind.endswith(":") else f"{prefix}:{kind}"


@cache
def scripts() -> dict[str, LuaScript]:
    """Every Lua script of the memory, by its name."""
    found = sorted(MEMORY.glob("*/lua/*.lua"))
    names = [(path.parents[1].name, path.stem) for path in found]
    return {name: LuaScript.load(of, name) for of, name in names if of != SHARED_PIECES}


@cache
def script_uses(name: str, indexes: str = "", due_lists: str = "due") -> frozenset[Use]:
    """What running a script needs: the right to pass its keys, and each command inside it.

    `indexes` are the kinds that are passed where the header says `index`, `due_lists` where it says
    `due`. A call whose key is not
    named, such as one in a loop over KEYS, counts for all keys of the script that are of its type;
    so does one in a function to which such a key is passed.
    LookupError for a key in the header of which nothing is known.
    """
    script = scripts()[name]
    header = _HEADER.search(script.source)
    if header is None:
        raise LookupError(f"{name}.lua has no line of KEYS")
    words_of = header[1].replace("?", "").split()
    types = {one.partition(":")[0].removesuffix("..."): one for one in words_of}
    passed_for = {ANY_INDEX: indexes, ANY_DUE_LIST: due_lists}
    kinds = {key: _kinds_of(key, name, passed_for) for key in types}
    every = frozenset(kind for found in kinds.values() for kind in found)
    uses = {Use(command, every) for command in RUN}
    passed = _passed(script.source)
    for words in _calls(script.source):
        command, named = _command(words), [word for word in words if word in kinds]
        if command in KEYLESS:
            uses.add(Use(command, frozenset()))
        elif len(named) > 1 or "unpack" in words:
            touched = kinds if "unpack" in words else named
            uses.add(Use(command, frozenset(kind for key in touched for kind in kinds[key])))
        else:
            alone = named or list(_keys_of(words, types, passed, OF_TYPE.get(command[:1].upper())))
            # One key at a time: each is a use of its own.
            uses |= {Use(command, frozenset({kind})) for key in alone for kind in kinds[key]}
    return frozenset(uses)


def _keys_of(
    words: list[str], types: Mapping[str, str], passed: Mapping[str, list[str]], wanted: str | None
) -> Iterator[str]:
    """The keys that a call of Redis may be about which names none: what is passed for those of its
    words that are parameters of functions, through several of them; else all of the type."""
    parameters = {word for word in words if word in passed}
    found, names = set[str](), list(parameters)
    while names:
        given = set(passed.get(names.pop(), ())) - found
        found |= given
        names += given
    yield from (key for key in types if key in found)
    is_uncalled = bool(parameters) and not found
    is_told = bool(found & types.keys()) and found <= types.keys() | passed.keys()
    if not (is_uncalled or is_told):
        yield from (key for key, told in types.items() if _is_of(told, wanted))


def _is_of(told: str, wanted: str | None) -> bool:
    return wanted is None or told.partition(":")[2] == wanted


def _passed(source: str) -> dict[str, list[str]]:
    """What is passed for the first parameter of each function of a script, by its name."""
    return {
        parameter: re.findall(rf"(?<!function )\b{function}\((\w+)", source)
        for function, parameter in _FUNCTION.findall(source)
    }


def _command(words: list[str]) -> str:
    texts = [word[1:-1].lower() for word in words if word.startswith("'")]
    return f"object|{texts[1]}" if texts[0] == "object" else texts[0]


def _calls(source: str) -> Iterator[list[str]]:
    """The words of each call of Redis: names, and texts in their quotes."""
    for call in _CALL.finditer(source):
        depth, words, inner = 1, list[str](), 0
        for token in _TOKEN.finditer(source, call.end()):
            depth += {"(": 1, ")": -1}.get(token[0], 0)
            if depth == 0:
                break
            # A call within this one is another one's turn.
            if token[0] == "redis" and not inner:
                inner = depth
            elif token[0] == ")" and depth == inner:
                inner = 0
            if not inner:
                words.append(token[0])
        yield words


def _kinds_of(key: str, script: str, passed_for: Mapping[str, str]) -> frozenset[str]:
    given = frozenset(passed_for.get(key, NAMES.get(key, "")).split())
    found = given or kinds_by_name().get(key)
    if not found:
        raise LookupError(
            f"{script}.lua has the key {key!r}, which memory/keys.py does not: say what is passed "
            f"for it in NAMES of {Path(__file__).name}"
        )
    return found


@cache
def kinds_by_name() -> dict[str, frozenset[str]]:
    """The kinds by the names that keys have in the headers of scripts: fields of the classes of
    keys, and the methods of Keyspace that give one."""
    keyspace = Keyspace()
    groups, single = dict[str, object](), dict[str, object]()
    for name, member in vars(Keyspace).items():
        if isinstance(member, property):
            made = getattr(keyspace, name)
            if is_dataclass(made):
                groups |= {one.name: getattr(made, one.name) for one in fields(made)}
            else:
                single[name] = made
        elif inspect.isfunction(member) and not name.startswith("_"):
            made = _made(keyspace, name)
            if is_dataclass(made):
                groups |= {one.name: getattr(made, one.name) for one in fields(made)}
            else:
                single[name] = made
    # `queue` of a session before anything of that name that all sessions share.
    named = {name: _words(value) for name, value in (single | groups).items()}
    shared = {f"keyspace.{name}": _words(value) for name, value in single.items()}
    return {name: found for name, found in (named | shared).items() if found}


def _made(keyspace: Keyspace, method: str) -> object:
    """What a method gives for any ids; None for one that reads a key."""
    asked = inspect.signature(getattr(keyspace, method)).parameters.values()
    if any(one.name == "history_key" for one in asked):
        return None
    of_any = [PLACEHOLDER if one.annotation is str else [PLACEHOLDER] for one in asked]
    return getattr(keyspace, method)(*of_any)


def _words(value: object) -> frozenset[str]:
    parts = value if isinstance(value, tuple) else (value,)
    begin = f"{Keyspace().prefix}:"
    keys = [one.removeprefix(begin) for one in parts if str(one).startswith(begin)]
    return frozenset(f"{word}{colon}" for word, colon, _ in (key.partition(":") for key in keys))
