"""Whether a reply has the form that its job wants, found out without holding up other turns.

What is provably quick is done here, on the event loop of all turns. All else goes to a child
process, which is killed where it takes too long: a check in a thread would hold the interpreter's
lock (docs/decisions.md, "A check that may be dear runs in a process that can be killed").
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import orjson
from pydantic import JsonValue

from children.errors import ChildEnded, NoChild
from children.json_schema import first_fit
from children.pool import Children
from llm import (
    FormatCutShortError,
    FormatMismatchError,
    FormatTooDearError,
    ModelReply,
    RetryableLLMError,
)
from tasks.errors import InvalidJob
from tasks.job.reply_format import ReplyFormat, place_in
from tasks.job.reply_text import MAX_LEVELS, candidates, is_too_deep
from tasks.job.weights.schema_weight import weight_of

MAX_REPLY_BYTES = 262_144
"""A longer reply is no reply in a form: 17 ms of the event loop for JSON that is all brackets."""
MAX_BYTES_HERE = 32_768
MAX_WORK_HERE = 250_000
"""Bytes to check times the schema's weight: at 60 ns each, as measured, 15 ms at the very most."""

Fit: TypeAlias = tuple[int | None, int | None]


class ParsedReply(NamedTuple):
    """The JSON of a reply, without what was around it, and the value that it stands for."""

    text: str
    value: JsonValue


class ReplyChecks:
    """Checks replies; used on one event loop."""

    def __init__(self, children: Children) -> None:
        """`children` do the work of `children.json_schema`."""
        self._children = children

    async def parsed(self, wanted: ReplyFormat | None, answer: ModelReply) -> ParsedReply | None:
        """The JSON in a reply, be it in a Markdown fence, behind thoughts or with words around it.
        None where nothing is `wanted`.

        Raises FormatMismatchError where there is none or it does not fit the schema; its message
        names the path in the schema and holds nothing of the reply. A reply that was cut short for
        want of room is a FormatCutShortError: the same request would be cut again. One whose check
        takes too long is a FormatTooDearError.
        """
        if wanted is None:
            return None
        _check_length(answer.text)
        texts = list(dict.fromkeys(candidates(answer.text)))
        schema = wanted if isinstance(wanted, dict) else {}
        fit, last_json = await self._first_fit(schema, texts)
        if fit is not None:
            if is_too_deep(texts[fit]):
                raise FormatMismatchError(
                    f"the reply is nested deeper than {MAX_LEVELS} levels, or has too many parts"
                )
            return ParsedReply(texts[fit], orjson.loads(texts[fit]))
        problem = "the reply is not JSON, which format requires"
        if last_json is not None:
            place = await self._place(schema, texts[last_json])
            problem = f"the reply does not match the schema in format, {place}"
        if answer.final.done_reason == "length":
            raise FormatCutShortError(
                f"{problem}: it reached max_tokens or the end of the window; allow more "
                "tokens, or ask for less"
            )
        raise FormatMismatchError(problem)

    async def fits(self, schema: Mapping[str, JsonValue], arguments: Mapping[str, object]) -> bool:
        """Whether the arguments of a call fit a schema. Raises FormatTooDearError where that takes
        too long."""
        fit, _ = await self._first_fit(schema, [orjson.dumps(dict(arguments)).decode()])
        return fit is not None

    async def _first_fit(self, schema: Mapping[str, JsonValue], texts: Sequence[str]) -> Fit:
        """The first text that fits, and the last that is JSON."""
        if is_quick(schema, texts):
            return _first_fit_here(schema, texts)
        try:
            fit, last_json = orjson.loads(await self._ask(schema, texts))
        except ChildEnded as exc:
            raise FormatTooDearError(
                f"checking the reply against the schema in format takes too long: {exc}; use "
                "fewer choices, repetitions and unevaluated parts, or ask for a shorter reply"
            ) from None
        return fit, last_json

    async def _place(self, schema: Mapping[str, JsonValue], text: str) -> str:
        # Never here: of a choice jsonschema-rs makes all errors of all branches, which took 6 s for
        # a reply that was seen not to fit in 0.1 ms.
        try:
            return f"see {place_in(orjson.loads(await self._ask(schema, text)))}"
        except ChildEnded:
            return "at a place that takes too long to find"

    async def _ask(self, schema: Mapping[str, JsonValue], asked: Sequence[str] | str) -> bytes:
        try:
            return await self._children.ask(orjson.dumps([schema, asked]))
        except NoChild as exc:
            raise RetryableLLMError(f"the reply cannot be checked now: {exc}") from exc


def _first_fit_here(schema: Mapping[str, JsonValue], texts: Sequence[str]) -> Fit:
    try:
        return first_fit(schema, texts)
    except ValueError:
        # Somebody else has written the envelope: `delay` would have refused it.
        raise InvalidJob("format is not a usable JSON Schema") from None


def is_quick(schema: Mapping[str, JsonValue], texts: Sequence[str]) -> bool:
    """Whether checking these texts is cheap, whatever they say."""
    size_bytes = sum(len(text.encode(errors="replace")) for text in texts)
    if size_bytes > MAX_BYTES_HERE:
        return False
    return not schema or size_bytes * weight_of(schema).total <= MAX_WORK_HERE


def _check_length(text: str) -> None:
    size_bytes = len(text.encode(errors="replace"))
    if size_bytes > MAX_REPLY_BYTES:
        raise FormatTooDearError(
            f"the reply has {size_bytes} bytes; with a format the limit is {MAX_REPLY_BYTES}: "
            "ask for less, or leave out format"
        )
