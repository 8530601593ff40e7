"""What a reply will consist of, decided before its first byte. Pure: a request in, a `Plan` out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

from sandbox.ollama import gojson, refusals, replies
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.reply import calls, structured, windows
from sandbox.ollama.reply.admission import check_at_runner
from sandbox.ollama.request.bodies import ModelRequest
from sandbox.ollama.scenarios import Ending, Manner, Scenario, Thinking

BIG_LAST_CHARS = 1_000_000
"""The text that the scenario `big-last` puts into its final record."""

REPEATS = 31
"""So many equal pieces in a row Ollama sends; at the next one it stops without a word."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one record carries. `tokens` counts it as the model would."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[JsonValue, ...] = ()
    tokens: int = 1


NOTHING = Fragment(tokens=0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The fragments in order, what the final record carries, and the counts it states."""

    fragments: tuple[Fragment, ...]
    final: Fragment = NOTHING
    done_reason: str = "stop"
    prompt_tokens: int = 0
    first_run: int = 0
    """How many fragments come from a run of their own, before that of the rest: its counts and its
    time are stated nowhere but in the total (docs/ollama.md, Thinking)."""

    @property
    def eval_tokens(self) -> int:
        """Generated tokens, thinking included, as `eval_count` has them."""
        counted = self.fragments[self.first_run :]
        return sum(fragment.tokens for fragment in counted) + self.final.tokens

    def without_end(self) -> Iterator[Fragment]:
        """The fragments over and over."""
        return cycle(self.fragments or (Fragment("on "),))


def plan(asked: ModelRequest, scenario: Scenario) -> Plan:
    """The reply of `scenario` to `asked`. Raises Refused for what its runner refuses."""
    asked = windows.trimmed(asked, scenario)
    check_at_runner(asked, scenario)
    prompt_tokens = windows.prompt_tokens(asked, scenario)
    room = windows.room_tokens(asked, scenario, prompt_tokens)
    thoughts, said, final = _thoughts(asked, scenario), *_spoken(asked, scenario, room)
    if _takes_two_runs(asked, scenario) and thoughts and len(thoughts) <= room:
        first_run, limit = len(thoughts), len(thoughts) + room
    else:
        first_run, limit = 0, room
    fragments = (*thoughts, *said)
    if limit < len(fragments) and scenario.ending is not Ending.ENDLESS:
        return Plan(fragments[:limit], NOTHING, "length", prompt_tokens, first_run)
    reason = "length" if final.tokens > room else "stop"
    return Plan(fragments, final, reason, prompt_tokens, first_run)


def _takes_two_runs(asked: ModelRequest, scenario: Scenario) -> bool:
    """The rendered path lets the model think without the format, then asks once more with it."""
    return asked.response_format not in (None, "") and not scenario.is_native


def _is_format_lost(asked: ModelRequest, scenario: Scenario) -> bool:
    """Whether nothing makes the model keep to the format.

    On the rendered path it is applied after a thought, and this model has none; the native path
    takes "json" and the empty schema for no format at all.
    """
    if scenario.is_native:
        return asked.response_format in ("json", {})
    return scenario.thinking is Thinking.SILENT and asked.think is not False


def _thoughts(asked: ModelRequest, scenario: Scenario) -> tuple[Fragment, ...]:
    is_told_not_to = asked.think is False and scenario.thinking is not Thinking.STUBBORN
    if scenario.thinking in {Thinking.NONE, Thinking.SILENT} or is_told_not_to:
        return ()
    thoughts = replies.pieces(f"I was sent {len(asked.messages)} messages. ")
    return tuple(Fragment(thinking=thought) for thought in thoughts)


def _spoken(
    asked: ModelRequest, scenario: Scenario, room: int
) -> tuple[tuple[Fragment, ...], Fragment]:
    """What is said, and what the final record carries."""
    if scenario.manner is Manner.REPEATING:
        return tuple([_word("again ")] * REPEATS), NOTHING
    if calls.are_due(asked, scenario):
        return _called(asked, scenario, room)
    text = _text(asked, scenario)
    if scenario.manner is Manner.NEXT_LINE:
        text = f"one\u0085line {text}"
    said = tuple(_word(piece) for piece in replies.pieces(text, scenario.tokens))
    if scenario.manner is Manner.BIG_LAST:
        return said, Fragment("x" * BIG_LAST_CHARS)
    return said, NOTHING


def _called(
    asked: ModelRequest, scenario: Scenario, room: int
) -> tuple[tuple[Fragment, ...], Fragment]:
    """Calls of tools: all in the final record on the native path, else each in one of its own."""
    made = calls.made(asked, scenario)
    tokens = [calls.tokens(call) for call in made]
    if sum(tokens) > room:
        if scenario.is_native:
            raise refusals.bad_call(asked.tools[0].name)
        pieces = replies.pieces(gojson.encode(made[0]), room + 1)  # the last one is cut off
        return tuple(Fragment(piece) for piece in pieces), NOTHING
    if scenario.manner is Manner.TOOLS_FINAL:
        return (), Fragment(tool_calls=tuple(made), tokens=sum(tokens))
    one_by_one = zip(made, tokens, strict=True)
    return tuple(Fragment(tool_calls=(call,), tokens=count) for call, count in one_by_one), NOTHING


@lru_cache(maxsize=8192)
def _word(piece: str) -> Fragment:
    """A plain fragment, remembered: a model says the same words again and again."""
    return Fragment(piece)


def _text(asked: ModelRequest, scenario: Scenario) -> str:
    if scenario.text is not None:
        return scenario.text
    text = replies.reply_to(asked.messages, is_marked=scenario.is_marked)
    if asked.response_format in (None, "") or _is_format_lost(asked, scenario):
        return text
    form: JsonValue = asked.response_format
    found: JsonObject | JsonValue = structured.instance(form, text, is_sorted=scenario.is_native)
    return gojson.encode(found)
