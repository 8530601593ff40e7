"""Which model name plays what. Pure; the package docstring has the table for readers."""

import re
from dataclasses import dataclass, replace
from enum import Enum, auto

from sandbox.ollama import refusals
from sandbox.ollama.errors import Refused, UnknownScenario
from sandbox.ollama.gojson import JsonObject
from sandbox.ollama.refusals import REFUSALS, Refusal, Stage
from sandbox.ollama.replies import IMAGE_TOKENS
from sandbox.ollama.request import names


class Ending(Enum):
    """How a reply ends once its tokens are out."""

    DONE = auto()
    """The final record, `done: true`."""
    NO_DONE = auto()
    """A tidy end of the stream without the final record."""
    ERROR_LINE = auto()
    """An error line after HTTP 200, then a tidy end."""
    CUT = auto()
    """The connection is closed without the terminating chunk."""
    RESET = auto()
    """The connection is reset (RST)."""
    STALL = auto()
    """Nothing more comes, the connection stays open until the client leaves."""
    ENDLESS = auto()
    """Tokens without end until the client leaves."""
    BAD_CALL = auto()
    """The call of a tool cannot be read: 500, or an error line where text went before it."""


class Manner(Enum):
    """What the reply consists of."""

    PLAIN = auto()
    TOOLS_FINAL = auto()
    TOOLS_EARLY = auto()
    NEXT_LINE = auto()
    BIG_LAST = auto()
    REPEATING = auto()
    """One piece over and over, at which Ollama stops without a word."""


class Thinking(Enum):
    """Whether the model has a thinking mode, and what it does with it."""

    NONE = auto()
    OBEDIENT = auto()
    """Thinks unless it is told not to."""
    SILENT = auto()
    """Can think, but writes no thought."""
    STUBBORN = auto()
    """Thinks even if it is told not to."""


class Template(Enum):
    """Who writes the prompt, and which orders of roles it takes (docs/ollama.md, Versions)."""

    RENDERED = auto()
    """Ollama, in any order."""
    NATIVE = auto()
    """llama-server, in nearly any order."""
    STRICT = auto()
    """llama-server, by turns only."""
    STRICT_SPECIALISED = auto()
    """The same, where llama.cpp has a parser made for the template: another status."""


class Framing(Enum):
    """How the lines are laid into HTTP chunks."""

    LINE = auto()
    ONE_WRITE = auto()
    MERGED = auto()
    SPLIT = auto()
    BLANK = auto()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to behave. Times in seconds; `tokens` None means the words of the reply, once."""

    name: str
    tokens: int | None = None
    first_s: float = 0.0
    token_s: float = 0.0
    load_s: float = 0.0
    slots: int | None = None
    window_tokens: int | None = None
    density: int = 1
    """Tokens counted for each that is counted of plain text: as of a script that is cut finely."""
    ending: Ending = Ending.DONE
    manner: Manner = Manner.PLAIN
    framing: Framing = Framing.LINE
    text: str | None = None
    """What the model says; None: it makes its reply up."""
    calls: tuple[tuple[str, JsonObject], ...] = ()
    """The calls of tools that it makes, by name and arguments, whatever it is offered."""
    refusal: str | None = None
    """The key of a row in refusals.py."""
    error: Refusal | None = None
    """A refusal that is in no table."""
    template: Template = Template.RENDERED
    thinking: Thinking = Thinking.NONE
    ignores_truncate: bool = False
    """Cuts a long prompt to half of the window unasked, as no current server does."""
    is_old: bool = False
    """Refuses a prompt over the window in the words of 0.13."""
    forgets_all: bool = False
    """Its end takes every loaded model with it, as a lack of memory in mid-reply does."""
    deaf: bool = False
    """Goes on generating after the client left."""
    leaks_slot: bool = False
    """Never gives back the slot of a client that left."""
    is_marked: bool = True
    """Ends each reply with the fingerprint of its prompt."""
    has_tools: bool = True
    can_chat: bool = True
    can_see: bool = False
    names_abilities: bool = True
    """Whether /api/show has `capabilities`, which old servers have not."""
    tool_rounds: int = 1
    """How often the model calls tools before it answers, where it is offered any."""
    tool_calls: int = 1
    """How many calls it makes at once."""
    image_tokens: int = IMAGE_TOKENS
    """What an image really takes; Ollama reckons with 768 where it decides what to drop."""
    trained_tokens: int = 32_768
    """The longest window it can be loaded with."""
    file_window_tokens: int | None = None
    """The `num_ctx` of its Modelfile."""

    @property
    def is_installed(self) -> bool:
        """Whether /api/tags lists it."""
        return self.refusal != MISSING

    @property
    def is_native(self) -> bool:
        """Whether llama-server writes the prompt."""
        return self.template is not Template.RENDERED

    @property
    def can_think(self) -> bool:
        """Whether it has a thinking mode."""
        return self.thinking is not Thinking.NONE

    def refuse(self, stage: Stage, model: str, *, is_chat: bool) -> None:
        """Raise Refused if a request that comes this far is refused here."""
        if self.refusal == MISSING and stage is Stage.MODEL:
            raise refusals.not_found(model)
        found = self.error or REFUSALS.get(self.refusal or "")
        if found is not None and found.stage is stage and (is_chat or stage is not Stage.BODY):
            raise found.refused()

    @property
    def load_refusal(self) -> Refusal | None:
        """Why its load fails, if it does."""
        found = REFUSALS.get(self.refusal or "")
        return found if found is not None and found.stage is Stage.LOAD else None


MISSING = "missing"
"""The refusal of a model that is not installed."""

_ALL = (
    Scenario("ok"),
    Scenario("instant", framing=Framing.ONE_WRITE),
    Scenario("delay", first_s=1.0, framing=Framing.ONE_WRITE),
    Scenario("slow-first", first_s=2.0),
    Scenario("slow-tokens", tokens=50, token_s=0.05),
    Scenario("hang", first_s=1e6),
    Scenario("stall", tokens=3, ending=Ending.STALL),
    Scenario("endless", token_s=0.01, ending=Ending.ENDLESS),
    Scenario("error-line", tokens=3, ending=Ending.ERROR_LINE),
    Scenario("forgetful", tokens=3, ending=Ending.ERROR_LINE, forgets_all=True),
    Scenario("bad-call", tokens=0, ending=Ending.BAD_CALL, template=Template.NATIVE),
    Scenario("no-done", tokens=3, ending=Ending.NO_DONE),
    Scenario("cut", tokens=3, ending=Ending.CUT),
    Scenario("reset", tokens=3, ending=Ending.RESET),
    Scenario("close", tokens=0, ending=Ending.CUT),
    Scenario("repeats", manner=Manner.REPEATING, ending=Ending.NO_DONE),
    Scenario("think", thinking=Thinking.OBEDIENT),
    Scenario("think-nothing", thinking=Thinking.SILENT),
    Scenario("think-always", thinking=Thinking.STUBBORN),
    Scenario("think-native", thinking=Thinking.OBEDIENT, template=Template.NATIVE),
    Scenario("native", template=Template.NATIVE),
    Scenario("strict-roles", template=Template.STRICT, has_tools=False),
    Scenario("strict-roles-500", template=Template.STRICT_SPECIALISED, has_tools=False),
    Scenario("tools", manner=Manner.TOOLS_FINAL, template=Template.NATIVE),
    Scenario("tools-early", manner=Manner.TOOLS_EARLY),
    Scenario("no-tools", has_tools=False),
    Scenario("embedder", can_chat=False),
    Scenario("vision", can_see=True),
    Scenario("no-abilities", has_tools=False, names_abilities=False),
    Scenario("window", window_tokens=4096, template=Template.NATIVE),
    Scenario("half-window", window_tokens=4096, ignores_truncate=True),
    Scenario("rendered", window_tokens=4096),
    Scenario("old-window", window_tokens=4096, is_old=True),
    Scenario("cold", load_s=2.0),
    Scenario("serial", slots=1),
    Scenario("leaky", slots=1, tokens=50, token_s=0.05, leaks_slot=True),
    Scenario("deaf", tokens=50, token_s=0.05, deaf=True),
    Scenario("split-chars", framing=Framing.SPLIT),
    Scenario("merged-lines", framing=Framing.MERGED),
    Scenario("blank-lines", framing=Framing.BLANK),
    Scenario("next-line", manner=Manner.NEXT_LINE),
    Scenario("big-last", manner=Manner.BIG_LAST),
    Scenario(MISSING, refusal=MISSING),
    Scenario("nowhere", refusal=MISSING),
    Scenario("overflow-400", refusal="overflow-400"),
    *(Scenario(name, refusal=name) for name in REFUSALS),
)

_NUMBERS = (
    *("slots", "tool_rounds", "tool_calls", "window_tokens", "density"),
    *("trained_tokens", "file_window_tokens", "image_tokens"),
)
"""Settings that are a whole number, by the names of their fields and of their groups below."""

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
"""Every scenario by its name."""

_SETTING = re.compile(
    r"""
      load(?P<load>\d+(?:\.\d+)?)(?P<load_unit>ms|s)
    | slots(?P<slots>[1-9]\d*)
    | rounds(?P<tool_rounds>[1-9]\d*)
    | calls(?P<tool_calls>[1-9]\d*)
    | ctx(?P<window_tokens>[1-9]\d*)
    | file(?P<file_window_tokens>[1-9]\d*)
    | trained(?P<trained_tokens>[1-9]\d*)
    | image(?P<image_tokens>[1-9]\d*)
    | dense(?P<density>[1-9]\d*)
    | (?P<first>\d+(?:\.\d+)?)(?P<first_unit>ms|s)
    | (?P<tokens>\d+)?(?:x(?P<pace>\d+(?:\.\d+)?)(?P<pace_unit>ms|s))?
    """,
    re.VERBOSE,
)


def scenario_of(model: str) -> Scenario | None:
    """The scenario that `model` names, with the settings of its tag; None for any other model.

    Every spelling of a name means the same. Raises UnknownScenario if the name is a scenario's but
    its tag holds no known settings, so that a slip in a test does not pass for a healthy model.
    """
    try:
        name, _, tag = names.parse(model).short.lower().rpartition(":")
    except Refused:
        return None
    scenario = SCENARIOS.get(name)
    if scenario is None or tag == "latest":
        return scenario
    for setting in tag.split("-"):
        scenario = _with_setting(scenario, setting, model)
    return scenario


def _with_setting(scenario: Scenario, setting: str, model: str) -> Scenario:
    found = _SETTING.fullmatch(setting)
    if not setting or found is None:
        raise UnknownScenario(f"no setting {setting!r} in {model!r}")
    part = found.groupdict()
    if part["load"]:
        return replace(scenario, load_s=_seconds(part["load"], part["load_unit"]))
    numbers = {name: int(part[name]) for name in _NUMBERS if part[name]}
    if numbers:
        return replace(scenario, **numbers)  # type: ignore[arg-type]  # these fields are numbers
    if part["first"]:
        return replace(scenario, first_s=_seconds(part["first"], part["first_unit"]))
    tokens = scenario.tokens if part["tokens"] is None else int(part["tokens"])
    token_s = _seconds(part["pace"], part["pace_unit"]) if part["pace"] else scenario.token_s
    return replace(scenario, tokens=tokens, token_s=token_s)


def _seconds(number: str, unit: str) -> float:
    return float(number) / 1000 if unit == "ms" else float(number)
