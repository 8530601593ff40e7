"""Which model name plays what. Pure; the package docstring has the table for readers."""

import re
from dataclasses import dataclass, replace
from enum import Enum, auto

from sandbox.ollama.errors import UnknownScenario


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


class Manner(Enum):
    """What the reply consists of."""

    PLAIN = auto()
    THINKING = auto()
    TOOLS_FINAL = auto()
    TOOLS_EARLY = auto()
    NEXT_LINE = auto()
    BIG_LAST = auto()


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
    refusal: str | None = None
    """The key of a row in refusals.py."""
    halves_prompt: bool = False
    """Cuts a prompt over the window silently instead of refusing it (docs/ollama.md, Window)."""
    is_rendered: bool = False
    """Refuses a prompt over the window in the words of the rendered path, without any count."""
    deaf: bool = False
    """Goes on generating after the client left."""
    leaks_slot: bool = False
    """Never gives back the slot of a client that left."""
    has_tools: bool = True
    can_chat: bool = True
    can_see: bool = False
    names_abilities: bool = True
    """Whether /api/show has `capabilities`, which old servers have not."""
    tool_rounds: int = 1
    """How often the model calls a tool before it answers, where it is offered any."""

    @property
    def is_installed(self) -> bool:
        """Whether /api/tags lists it."""
        return self.refusal != "missing"

    @property
    def refuses_load(self) -> bool:
        """Whether a request that only loads the model is refused likewise."""
        return self.refusal in _REFUSED_LOADS


_FAILED_LOADS = ("load-500", "exit-500", "late-500", "gpu-500", "binary-500", "old-500")
_REFUSED_LOADS = ("missing", *_FAILED_LOADS, "unreachable-502", "busy-503", "overloaded-503")
_REFUSALS = (
    *_REFUSED_LOADS,
    *("bad-400", "overflow-400", "unsigned-401", "disabled-403", "quota-429"),
    *("gone-500", "option-500", "odd-500", "slots-500"),
)

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
    Scenario("bad-call", tokens=3, ending=Ending.ERROR_LINE),
    Scenario("no-done", tokens=3, ending=Ending.NO_DONE),
    Scenario("cut", tokens=3, ending=Ending.CUT),
    Scenario("reset", tokens=3, ending=Ending.RESET),
    Scenario("close", tokens=0, ending=Ending.CUT),
    Scenario("think", manner=Manner.THINKING),
    Scenario("tools", manner=Manner.TOOLS_FINAL),
    Scenario("tools-early", manner=Manner.TOOLS_EARLY),
    Scenario("no-tools", has_tools=False),
    Scenario("embedder", can_chat=False),
    Scenario("vision", can_see=True),
    Scenario("no-abilities", has_tools=False, names_abilities=False),
    Scenario("window", window_tokens=4096),
    Scenario("half-window", window_tokens=4096, halves_prompt=True),
    Scenario("rendered", window_tokens=4096, is_rendered=True),
    Scenario("cold", load_s=2.0),
    Scenario("serial", slots=1),
    Scenario("leaky", slots=1, tokens=50, token_s=0.05, leaks_slot=True),
    Scenario("deaf", tokens=50, token_s=0.05, deaf=True),
    Scenario("split-chars", framing=Framing.SPLIT),
    Scenario("merged-lines", framing=Framing.MERGED),
    Scenario("blank-lines", framing=Framing.BLANK),
    Scenario("next-line", manner=Manner.NEXT_LINE),
    Scenario("big-last", manner=Manner.BIG_LAST),
    Scenario("nowhere", refusal="missing"),
    *(Scenario(name, refusal=name) for name in _REFUSALS),
)

_NUMBERS = ("slots", "tool_rounds", "window_tokens", "density")
"""Settings that are a whole number, by the names of their fields and of their groups below."""

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
"""Every scenario by its name."""

_SETTING = re.compile(
    r"""
      load(?P<load>\d+(?:\.\d+)?)(?P<load_unit>ms|s)
    | slots(?P<slots>[1-9]\d*)
    | rounds(?P<tool_rounds>[1-9]\d*)
    | ctx(?P<window_tokens>[1-9]\d*)
    | dense(?P<density>[1-9]\d*)
    | (?P<first>\d+(?:\.\d+)?)(?P<first_unit>ms|s)
    | (?P<tokens>\d+)?(?:x(?P<pace>\d+(?:\.\d+)?)(?P<pace_unit>ms|s))?
    """,
    re.VERBOSE,
)


def scenario_of(model: str) -> Scenario | None:
    """The scenario that `model` names, with the settings of its tag; None for any other model.

    Raises UnknownScenario if the name is a scenario's but its tag holds no known settings, so that
    a slip in a test does not pass for a healthy model.
    """
    name, _, tag = model.partition(":")
    scenario = SCENARIOS.get(name)
    if scenario is None or tag in {"", "latest"}:
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
