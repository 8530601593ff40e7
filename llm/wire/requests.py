"""A chat request: what goes into the body of `POST /api/chat`. No I/O."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Self, TypeAlias

import orjson

from llm.errors import InvalidRequestError
from llm.wire.grammar import grammar_format
from llm.wire.quoting import quoted

Message: TypeAlias = Mapping[str, object] | bytes
"""A message as an object, or as JSON bytes of our own making that are spliced in as they are."""

# Security: no "//", because Ollama strips a leading "scheme://", and a model's name, which a job
# chooses freely, must never read as an address.
_MODEL_NAME = re.compile(r"(?!.*//)[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
MODEL_NAME_RULE = (
    "a model name is 1 to 128 letters, digits and . _ : / -, "
    "begins with a letter or digit and holds no //"
)


_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
DURATION_PATTERN = r"^-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+$"
"""A duration as Go writes it: `90s`, `1h30m`, `300ms`."""


def check_model_name(name: object) -> str:
    """Return `name` if it is a model name; raise InvalidRequestError if not. Never an address."""
    if not isinstance(name, str) or _MODEL_NAME.fullmatch(name) is None:
        raise InvalidRequestError(f"{quoted(name)} is not a model: {MODEL_NAME_RULE}")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One call of a model. Checked when made: InvalidRequestError, and nothing is sent.

    A `format` goes out as Ollama can turn it into a grammar (`llm.wire.grammar`), which may allow
    more than the schema: who asks with one checks the reply. With it a model is told not to think,
    unless `think` says otherwise. With `reads_think_tags` what the reply has between `<think>` and
    `</think>` at its begin is taken for thinking.

    `temperature` is 0 or more; `max_tokens` bounds the reply in tokens (Ollama's `num_predict`).
    Other options go into `options` under Ollama's names; those that Ollama reads at load time
    (`num_ctx`, `num_batch`, ...) and `shift` must be the same in every request to a model, or
    each change reloads it. No messages: only load the model (or, with `keep_alive=0`, unload it).

    `truncate` is False so that no prompt is cut silently: one over the window is a
    ContextOverflowError. With `shift` False a full window ends the reply with `done_reason`
    "length"; left out (None), as other programs leave it out, the reply goes on and the model
    forgets the older half of what it saw. The messages are not in the repr.
    """

    model: str
    messages: tuple[Message, ...] = field(default=(), repr=False)
    temperature: float | None = None
    reads_think_tags: bool = False
    max_tokens: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    keep_alive: str | float | None = None
    format: str | Mapping[str, object] | None = None
    think: bool | str | None = None
    tools: tuple[Mapping[str, object], ...] = ()
    truncate: bool = False
    # A launch flag of the model since 0.30: docs/decisions.md, "A server that others use too gets
    # no option that loads a model anew".
    shift: bool | None = None

    def __post_init__(self) -> None:
        check_model_name(self.model)
        if self.temperature is not None:
            _check_temperature(self.temperature)
        if self.max_tokens is not None:
            _check_max_tokens(self.max_tokens)

    @property
    def expects_answer(self) -> bool:
        """False for a request that only loads or unloads the model."""
        return bool(self.messages)

    @property
    def may_run_past(self) -> bool:
        """Whether the reply goes on where the window is full."""
        return self.shift is not False

    def body(self) -> bytes:
        """The JSON body, always with `stream: true`; InvalidRequestError if JSON cannot hold it."""
        body: dict[str, object] = {
            "model": self.model,
            "messages": [
                orjson.Fragment(one) if isinstance(one, bytes) else one for one in self.messages
            ],
            "stream": True,
            "truncate": self.truncate,
        }
        body |= {name: value for name, value in self._optional() if value is not None}
        try:
            return orjson.dumps(body, default=_plain)
        except TypeError:
            # The cause is left out: a lone surrogate, for one, is reported with nothing of use.
            raise InvalidRequestError(
                "the request cannot be written as JSON: text must be valid Unicode "
                "(no lone surrogates) and values plain JSON values"
            ) from None

    def _optional(self) -> tuple[tuple[str, object], ...]:
        options = dict(self.options)
        if self.temperature is not None:
            options["temperature"] = self.temperature
        if self.max_tokens is not None:
            options["num_predict"] = self.max_tokens
        return (
            ("shift", self.shift),
            ("options", options or None),
            ("keep_alive", self.keep_alive),
            ("format", self._grammar_format),
            ("think", self._think),
            ("tools", self.tools or None),
        )

    def without_thinking(self) -> Self:
        """The same request, its model told not to think."""
        return replace(self, think=False)

    @property
    def _grammar_format(self) -> str | Mapping[str, object] | None:
        return None if self.format is None else grammar_format(self.format)

    @property
    def _think(self) -> bool | str | None:
        # A thinking model that thinks first is held to no format until it ends, and one that does
        # not think is never held to it (docs/ollama.md, Formats). gpt-oss cannot do without.
        if self.think is None and self.format is not None and "gpt-oss" not in self.model.lower():
            return False
        return self.think


@lru_cache(maxsize=64)
def seconds_of(duration: str | float) -> float:
    """The seconds of a `keep_alive`: a duration with its units, or a number; negative if it is."""
    if not isinstance(duration, str):
        return float(duration)
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(duration))
    return -seconds if duration.startswith("-") else seconds


def _check_temperature(temperature: object) -> None:
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not math.isfinite(temperature) or temperature < 0:  # type: ignore[arg-type, operator]  # `number` is the check
        raise InvalidRequestError(
            f"temperature must be a number of 0 or more, not {quoted(temperature)}"
        )


def _check_max_tokens(max_tokens: object) -> None:
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise InvalidRequestError(
            f"max_tokens must be a whole number of 1 or more, not {quoted(max_tokens)}"
        )


def _plain(value: object) -> object:
    """orjson knows only dict itself; any other Mapping is written the same way."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not a JSON value: {type(value).__name__}")
