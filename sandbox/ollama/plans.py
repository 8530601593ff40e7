"""What a reply will consist of, decided before its first byte. Pure: a request in, a `Plan` out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle

from sandbox.ollama import gojson, options, refusals, replies, structured
from sandbox.ollama.bodies import Messages, ModelRequest
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.scenarios import Ending, Manner, Scenario

BIG_LAST_CHARS = 1_000_000
"""The text that the scenario `big-last` puts into its final record."""


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

    @property
    def eval_tokens(self) -> int:
        """Generated tokens, thinking included, as `eval_count` has them."""
        return sum(fragment.tokens for fragment in self.fragments) + self.final.tokens

    def without_end(self) -> Iterator[Fragment]:
        """The fragments over and over."""
        return cycle(self.fragments or (Fragment("on "),))


def plan(asked: ModelRequest, scenario: Scenario) -> Plan:
    """The reply of `scenario` to `asked`. Raises Refused if the prompt does not fit its window."""
    if scenario.window_tokens is not None and asked.truncate:
        asked = replace(asked, messages=_trimmed(asked, scenario))
    prompt_tokens = _fitting(asked, scenario)
    fragments, final = _spoken(asked, scenario)
    limit = _most_tokens(asked, scenario, prompt_tokens)
    if 0 < limit < len(fragments) and scenario.ending is not Ending.ENDLESS:
        return Plan(fragments[:limit], NOTHING, "length", prompt_tokens)
    return Plan(fragments, final, "stop", prompt_tokens)


def _window(asked: ModelRequest, scenario: Scenario) -> int:
    return options.integer(asked.options, "num_ctx") or scenario.window_tokens or 0


def _trimmed(asked: ModelRequest, scenario: Scenario) -> Messages:
    """What Ollama keeps: system messages, the last message, and the newest others that fit."""
    kept = list(asked.messages)
    while replies.prompt_tokens(kept, scenario.density) > _window(asked, scenario):
        others = [index for index, message in enumerate(kept[:-1]) if message["role"] != "system"]
        if not others:
            break
        del kept[others[0]]
    return tuple(kept)


def _most_tokens(asked: ModelRequest, scenario: Scenario, prompt_tokens: int) -> int:
    """The longest reply: num_predict and, without `shift`, the rest of the window; 0: no limit."""
    limit = options.integer(asked.options, "num_predict") or 0
    if scenario.window_tokens is None or asked.shift:
        return limit
    left = max(1, _window(asked, scenario) - prompt_tokens)
    return min(limit, left) if limit > 0 else left


def _fitting(asked: ModelRequest, scenario: Scenario) -> int:
    """The `prompt_eval_count`: of the whole prompt, or of the rest after a silent cut."""
    tokens = replies.prompt_tokens(asked.messages, scenario.density)
    if scenario.window_tokens is None:
        return tokens
    window = _window(asked, scenario)
    if tokens <= window:
        return tokens
    if scenario.halves_prompt:
        return window // 2 + 2
    if scenario.is_rendered:
        raise refusals.overflow_of_rendered()
    raise refusals.overflow(tokens, window)


def _spoken(asked: ModelRequest, scenario: Scenario) -> tuple[tuple[Fragment, ...], Fragment]:
    text = _text(asked)
    if scenario.manner is Manner.NEXT_LINE:
        text = f"one\u0085line {text}"
    said = tuple(_word(piece) for piece in replies.pieces(text, scenario.tokens))
    if scenario.manner is Manner.THINKING and asked.think is not False:
        thoughts = replies.pieces(f"I was sent {len(asked.messages)} messages. ")
        return (*(Fragment(thinking=thought) for thought in thoughts), *said), NOTHING
    if scenario.manner is Manner.BIG_LAST:
        return said, Fragment("x" * BIG_LAST_CHARS)
    if _calls_a_tool(asked, scenario):
        call = Fragment(tool_calls=(_tool_call(asked, scenario),))
        return ((), call) if scenario.manner is Manner.TOOLS_FINAL else ((call,), NOTHING)
    return said, NOTHING


@lru_cache(maxsize=8192)
def _word(piece: str) -> Fragment:
    """A plain fragment, remembered: a model says the same words again and again."""
    return Fragment(piece)


def _text(asked: ModelRequest) -> str:
    text = replies.reply_to(asked.messages)
    if asked.response_format in (None, ""):
        return text
    return gojson.encode(structured.instance(asked.response_format, text))


def _calls_a_tool(asked: ModelRequest, scenario: Scenario) -> bool:
    """Whether it calls a tool now: while this turn has fewer results than its rounds."""
    if not asked.has_tools or scenario.manner not in {Manner.TOOLS_FINAL, Manner.TOOLS_EARLY}:
        return False
    roles = [message.get("role") for message in asked.messages]
    turn = roles[len(roles) - roles[::-1].index("user") :] if "user" in roles else roles
    return turn.count("tool") < scenario.tool_rounds


def _tool_call(asked: ModelRequest, scenario: Scenario) -> JsonValue:
    seen = replies.fingerprint(asked.messages)
    is_early = scenario.manner is Manner.TOOLS_EARLY
    return {
        "id": f"call_{seen}" if is_early else seen * 4,
        "function": {"index": 0, "name": asked.tool_name, "arguments": _arguments(asked)},
    }


def _arguments(asked: ModelRequest) -> JsonValue:
    """What fits the tool's parameters: the user's last words, and the first number in them."""
    said = replies.last_user_text(asked.messages)
    parameters: JsonObject = {"type": "object", **asked.tool_parameters}
    return structured.instance(parameters, said, replies.first_number(said) or 1)
