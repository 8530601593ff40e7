"""Each Lua operation of the mailbox says in its header what its typed function takes and gives."""

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import enqueued, outcomes, scripts
from memory.redis.command import Command, LuaScript

LUA = Path(scripts.__file__).parent / "lua"
KEYS = Keyspace().session("energy", "session-1")
MAX_CODE_LINES = 40
LONGER = {
    "acquire": 53,  # it alone decides between eight answers, and may not be split: it is atomic
    "merge": 51,  # takes in, takes out and moves envelopes, and may not be split either
}
OUTCOMES = {
    "enqueue": enqueued.EnqueueOutcome,
    "interrupt": enqueued.EnqueueOutcome,
    "supersede": enqueued.EnqueueOutcome,
    "merge": enqueued.EnqueueOutcome,
    "acquire": outcomes.AcquireOutcome,
    "commit": outcomes.CommitOutcome,
    "fail": outcomes.FailOutcome,
    "discard": outcomes.DiscardOutcome,
    "stop": outcomes.StopOutcome,
    "sweep": outcomes.SweepOutcome,
    "clean": outcomes.CleanOutcome,
}
RESULTS: dict[str, Callable[[object], object]] = {
    "enqueue": enqueued.Enqueued.from_reply,
    "interrupt": enqueued.Enqueued.from_taking_over,
    "supersede": enqueued.Enqueued.from_taking_over,
    "merge": enqueued.Enqueued.from_taking_over,
    "acquire": outcomes.Acquired.from_reply,
    "commit": outcomes.Committed.from_reply,
    "fail": outcomes.Failed.from_reply,
    "discard": outcomes.Discarded.from_reply,
    "stop": outcomes.Stopping.from_reply,
    "sweep": outcomes.Swept.from_reply,
    "clean": outcomes.Cleaned.from_reply,
}
NAMES = [script.name for script in scripts.SCRIPTS]


def header(name: str) -> str:
    """The comment at the top of an operation."""
    lines = source(name).splitlines()[1:]
    return "\n".join(line[3:] for line in lines[: first_code_line(lines)])


def body(name: str) -> str:
    """An operation without its header."""
    lines = source(name).splitlines()[1:]
    return "\n".join(lines[first_code_line(lines) :])


def first_code_line(lines: list[str]) -> int:
    """The index of the first line that is no comment."""
    return next(i for i, line in enumerate(lines) if not line.startswith("--"))


def source(name: str) -> str:
    """The text of an operation."""
    return (LUA / f"{name}.lua").read_text()


def declared(name: str, what: str) -> list[str]:
    """The names after KEYS or ARGV in the header."""
    (line,) = re.findall(rf"^{what}\s+(.+)$", header(name), re.MULTILINE)
    return str(line).split()


def declared_returns(name: str) -> dict[str, int]:
    """Each code that the header lists, with the number of values after it; 1 and 0 as they are."""
    lists = re.findall(r"^  \{'([A-Z_]+)'((?:, [^}]+)?)\}", header(name), re.MULTILINE)
    flags = re.findall(r"^  ([01])\s", header(name), re.MULTILINE)
    return {code: rest.count(",") for code, rest in lists} | dict.fromkeys(flags, 0)


def sample_command(name: str) -> tuple[Command[object], dict[str, object]]:
    """The call that the typed function makes of arguments that can be told apart."""
    function = getattr(scripts, name)
    arguments: dict[str, object] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        kind = str(parameter.annotation)
        if parameter.annotation is SessionKeys:
            arguments[parameter.name] = KEYS
        elif "Sequence" in kind:
            arguments[parameter.name] = (b"first", b"second")
        elif "bool" in kind:
            arguments[parameter.name] = True
        elif "bytes" in kind:
            arguments[parameter.name] = b"bytes %d" % number
        elif "int" in kind:
            arguments[parameter.name] = 1000 + number
        elif "float" in kind:
            arguments[parameter.name] = 1000.5
        else:
            arguments[parameter.name] = f"text {number}"
    command: Command[object] = function(**arguments)
    return command, arguments


def test_every_typed_function_has_its_file() -> None:
    """And the registry names each operation once."""
    assert len(set(NAMES)) == len(NAMES)
    for script in scripts.SCRIPTS:
        assert isinstance(script, LuaScript)
        assert callable(getattr(scripts, script.name))
        assert getattr(scripts, script.name.upper()) is script


@pytest.mark.parametrize("name", NAMES)
def test_the_shebang_says_whether_it_runs_without_memory(name: str) -> None:
    """All but those that take a job in do: work in hand is finished."""
    is_intake = name in {script.name for script in scripts.INTAKES}
    expected = "#!lua" if is_intake else "#!lua flags=allow-oom"
    assert source(name).splitlines()[0] == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_header_lists_the_keys_that_the_function_passes(name: str) -> None:
    """In their order, by their names in memory/keys.py."""
    command, arguments = sample_command(name)
    known = {field.name: getattr(KEYS, field.name) for field in fields(SessionKeys)}
    known["due"] = arguments.get("due")
    assert [known[key] for key in declared(name, "KEYS")] == list(command.keys)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_lists_the_arguments_that_the_function_passes(name: str) -> None:
    """In their order, by the names of the function's parameters, with their units."""
    command, arguments = sample_command(name)
    parameters = [key for key in arguments if key not in ("keys", "due")]
    names = [argument.removesuffix("...") for argument in declared(name, "ARGV")]
    assert names == parameters
    passed: list[object] = []
    for parameter in parameters:
        value = arguments[parameter]
        passed += value if isinstance(value, tuple) else [value]
    assert [str(value) for value in command.args] == [
        str(int(value)) if isinstance(value, bool) else str(value) for value in passed
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_code_uses_no_key_or_argument_that_the_header_does_not_list(name: str) -> None:
    """Nor does it make up the name of a key."""
    for what in ("KEYS", "ARGV"):
        used = [int(index) for index in re.findall(rf"{what}\[(\d+)\]", body(name))]
        assert max(used, default=0) <= len(declared(name, what))
    assert "'KEYS'" not in body(name)
    assert "'SCAN'" not in body(name)
    assert "cjson" not in body(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_unpacked_names_are_those_of_the_header(name: str) -> None:
    """`local a, b = unpack(ARGV)` cannot get out of step."""
    for names, what in re.findall(r"^local ([\w, ]+) = unpack\((KEYS|ARGV)\)$", body(name), re.M):
        unpacked = names.split(", ")
        assert unpacked == declared(name, what)[: len(unpacked)]


@pytest.mark.parametrize("name", NAMES)
def test_the_header_lists_every_code_that_is_returned(name: str) -> None:
    """And no other."""
    returned = set(re.findall(r"return \{'([A-Z_]+)'", body(name)))
    returned |= set(re.findall(r"return (?:.* or )?([01])(?:$| end)", body(name), re.MULTILINE))
    returned |= set(re.findall(r"insert\(reply, 1, '([A-Z]+)'\)", body(name)))
    assert returned == set(declared_returns(name))


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_codes_are_the_outcomes_of_the_typed_result(name: str) -> None:
    """All of them, and no other."""
    assert set(declared_returns(name)) == {*OUTCOMES[name], "CORRUPT"}


@pytest.mark.parametrize(
    ("name", "code", "amount"),
    [
        (name, code, amount)
        for name in OUTCOMES
        for code, amount in declared_returns(name).items()
        if code != "CORRUPT"
    ],
)
def test_the_typed_result_reads_each_reply_that_the_header_lists(
    name: str, code: str, amount: int
) -> None:
    """With as many values as it says, and no other number of them."""
    line = next(line for line in header(name).splitlines() if line.startswith(f"  {{'{code}'"))
    names = re.findall(r", (\w+)", line[: line.index("}")])
    assert len(names) == amount
    text = {"next", "head", "envelope", "first", "stopping", "wake"}
    others: dict[str, object] = {"messages": [b"m"], "stop": b"keep", "untold": [b"j1", b""]}
    values = [b"text" if name in text else others.get(name, 7) for name in names]
    result = RESULTS[name]([code.encode(), *values])
    assert getattr(result, "outcome") == code  # noqa: B009 - the results share no type
    with pytest.raises(CorruptData):
        RESULTS[name]([code.encode(), *values, b"one too many", 1, 2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"], [b"\xff"]])
def test_a_reply_that_makes_no_sense_is_corrupt(name: str, reply: object) -> None:
    """Another program answers, or another version of the script."""
    command, _ = sample_command(name)
    with pytest.raises(CorruptData):
        command.parse(reply)


@pytest.mark.parametrize("name", NAMES)
def test_the_code_corrupt_raises_with_the_key_and_the_type(name: str) -> None:
    """So that an operator knows what to look at."""
    command, _ = sample_command(name)
    with pytest.raises(CorruptData, match=r"ecowas:queue.*string"):
        command.parse([b"CORRUPT", b"ecowas:queue:{x}", b"string"])


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_fits_in_the_head(name: str) -> None:
    """At most 40 lines of code; the exceptions have their reason, and the list only shrinks."""
    lines = [line for line in body(name).splitlines() if line.strip()]
    assert len(lines) <= LONGER.get(name, MAX_CODE_LINES)
    assert all(len(line) <= 100 for line in source(name).splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_the_types_of_all_keys_are_checked_before_anything_else(name: str) -> None:
    """A wrong type must not be found half-way."""
    commands = re.findall(r"redis\.p?call\('(\w+)'", body(name))
    assert commands[0] == "TYPE"
    assert commands.count("TYPE") == 1
    table = re.search(r"ipairs\(\{(.+?)\}\)", body(name))
    kinds = len(table[1].split(",")) if table and commands[0] == "TYPE" else 1
    assert kinds == len(declared(name, "KEYS"))
