"""The model of a test: it answers by script and remembers what it was shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sandbox.ollama import OllamaStandIn, RecordedCall
from sandbox.ollama.refusals import Refusal, Stage
from sandbox.ollama.scenarios import Scenario, scenario_of

JsonValue: TypeAlias = "Mapping[str, JsonValue] | Sequence[JsonValue] | str | int | float | None"
Message: TypeAlias = "Mapping[str, JsonValue]"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one call showed the model."""

    model: str
    """Its name, as the worker sent it."""
    messages: tuple[Message, ...]
    """In order, as Ollama got them: `role`, `content`, and where they have it `tool_calls`."""
    tools: tuple[str, ...]
    """The names of the tools that it was offered."""
    options: Mapping[str, JsonValue]
    """Ollama's own, such as `temperature` and `num_predict`."""

    @property
    def system(self) -> str:
        """The system prompt; "" where there is none."""
        return "\n".join(self.said_by("system"))

    def said_by(self, role: str) -> list[str]:
        """The texts of all messages of a role, in order."""
        return [str(one.get("content")) for one in self.messages if one.get("role") == role]


class ScriptedModel:
    """Answers the next calls by script, one after the other; without one it makes replies up.

    The script is of one line for all models, in the order in which it is written. A retry is a call
    like any other: a `fail` that Griot tries again is followed by the reply to the second attempt.
    `delay_s` is the time before the first word; `token_s` that between two words.
    """

    def __init__(self, server: OllamaStandIn) -> None:
        self._server = server

    def reply(self, *texts: str, delay_s: float = 0.0, token_s: float = 0.0) -> None:
        """Answer the next calls with these texts, a call each."""
        for text in texts:
            self._add(Scenario("scripted", text=text, first_s=delay_s, token_s=token_s))

    def call_tool(self, name: str, /, **arguments: JsonValue) -> None:
        """Answer the next call with a call of a tool; the call after it has the tool's result."""
        self.call_tools((name, arguments))

    def call_tools(self, *calls: tuple[str, Mapping[str, JsonValue]]) -> None:
        """Answer the next call with several calls of tools at once: names and arguments."""
        made = tuple((name, json.loads(json.dumps(given))) for name, given in calls)
        self._add(Scenario("scripted", calls=made))

    def fail(self, status: int, error: str, *, times: int = 1, delay_s: float = 0.0) -> None:
        """Refuse the next `times` calls with an HTTP status and Ollama's `{"error": …}`."""
        for _ in range(times):
            refusal = Refusal(status, error, Stage.RUN)
            self._add(Scenario("scripted", error=refusal, first_s=delay_s))

    def play(self, scenario: str) -> None:
        """Let the next call play a scenario of the stand-in, such as `cut` (the connection breaks
        in mid-reply), `hang` or `think`.

        Those and their settings are listed in `sandbox.ollama`. ValueError for an unknown one.
        """
        known = scenario_of(scenario)
        if known is None:
            raise ValueError(f"the stand-in for Ollama has no scenario {scenario!r}")
        self._add(known)

    @property
    def unused(self) -> int:
        """How many answers of the script no call has taken yet."""
        return self._server.scripted

    @property
    def prompts(self) -> list[Prompt]:
        """What the calls of this test have shown the model, oldest first, refused ones too."""
        return [_prompt(call) for call in self._server.calls]

    @property
    def last(self) -> Prompt:
        """What the last call showed the model. AssertionError where there was none."""
        prompts = self.prompts
        if not prompts:
            raise AssertionError("the model was not asked")
        return prompts[-1]

    def assert_shown(self, *messages: tuple[str, str]) -> None:
        """Fail unless the last call had exactly these messages, as role and text, in this order.

        The system prompt is left out of the comparison unless the first of them is one.
        """
        shown = [(str(one.get("role")), str(one.get("content"))) for one in self.last.messages]
        if not messages or messages[0][0] != "system":
            shown = [one for one in shown if one[0] != "system"]
        if shown != list(messages):
            raise AssertionError(_difference(messages, shown))

    def clear(self) -> None:
        """Forget the script and the calls so far."""
        self._server.reset()

    def _add(self, scenario: Scenario) -> None:
        self._server.script_next(scenario)


def _prompt(call: RecordedCall) -> Prompt:
    body = json.loads(call.body)
    tools = tuple(one["function"]["name"] for one in body.get("tools") or ())
    messages: tuple[Message, ...] = tuple(call.messages)
    return Prompt(call.model, messages, tools, dict(call.options))


def _difference(wanted: Sequence[tuple[str, str]], shown: Sequence[tuple[str, str]]) -> str:
    def lines(messages: Sequence[tuple[str, str]]) -> str:
        return "\n".join(f"  {role}: {text}" for role, text in messages) or "  nothing"

    return f"the model was shown\n{lines(shown)}\nand not\n{lines(wanted)}"
