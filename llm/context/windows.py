"""The windows of one server's models, as far as they are known. No I/O.

A model that is loaded has the window that GET /api/ps tells. Of another one there is the setting
(LLM_NUM_CTX or its LLM_NUM_CTX_BY_MODEL), else what its Modelfile says and the length it was
trained for (POST /api/show), else an assumption: Ollama chooses the window when it loads the model,
by the memory that it then has.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from llm.context.recent import RecentlyUsed
from llm.errors import InvalidReplyError
from llm.wire.models import Loaded, full_name

KNOWN_FOR_S = 60.0
"""How long the window of a loaded model is believed."""
ASSUMED_FOR_S = 2.0
FAILED_FOR_S = 10.0
"""How long a server that did not tell is left in peace."""

_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """What POST /api/show says of a model's window; None where it says nothing."""

    trained_tokens: int | None = None
    num_ctx: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A model's window in tokens, and whether that is more than an assumption."""

    tokens: int
    is_known: bool


class Windows:
    """What one server has told of its models; `now_s` is any clock that only goes forward.

    `asked_tokens` says with what window we have a model loaded, None: with Ollama's own.
    """

    def __init__(self, *, asked_tokens: Callable[[str], int | None], assumed_tokens: int) -> None:
        self._asked_tokens = asked_tokens
        self._assumed_tokens = assumed_tokens
        self._loaded: RecentlyUsed[int] = RecentlyUsed()
        self._shown: RecentlyUsed[Shown] = RecentlyUsed()
        self._untold: RecentlyUsed[bool] = RecentlyUsed()
        self._due_at: RecentlyUsed[float] = RecentlyUsed()

    def of(self, model: str) -> Window:
        """The window that a call of `model` will find."""
        shown = self._shown.get(model, Shown())
        loaded = self._loaded.get(model)
        asked = self._asked_tokens(model)
        told = asked or shown.num_ctx
        if loaded is not None:
            # A setting that the loaded model does not have makes Ollama load it anew.
            return Window(min(loaded, asked or loaded), is_known=True)
        trained = shown.trained_tokens or told or self._assumed_tokens
        return Window(min(told or self._assumed_tokens, trained), is_known=told is not None)

    def is_due(self, model: str, now_s: float) -> bool:
        """Whether the server should be asked (again)."""
        return now_s >= self._due_at.get(model, now_s)

    def wants_show(self, model: str) -> bool:
        """Whether /api/show could tell what is not known yet."""
        return model not in self._loaded and model not in self._shown

    def is_told(self, model: str) -> bool:
        """Whether the server tells the window of a model that is loaded, as far as is known."""
        return model not in self._untold

    def note_loaded(self, model: str, loaded: Iterable[Loaded], now_s: float) -> None:
        """What /api/ps told, asked for the sake of `model`. What it has not got keeps its last
        window: it will most likely be loaded with the same again."""
        found = next((one for one in loaded if one.name == full_name(model)), None)
        if found is not None and found.window_tokens:
            self._loaded[model] = found.window_tokens
        elif found is not None:
            self._untold[model] = True
        is_known = found is not None and found.window_tokens
        self._due_at[model] = now_s + (KNOWN_FOR_S if is_known else ASSUMED_FOR_S)

    def note_shown(self, model: str, shown: Shown) -> None:
        """What /api/show told."""
        self._shown[model] = shown

    def note_failure(self, model: str, now_s: float) -> None:
        """The server did not tell."""
        self._due_at[model] = now_s + FAILED_FOR_S

    def note_refusal(self, model: str, n_ctx: int, now_s: float) -> None:
        """The server has refused a prompt and named its window."""
        self._loaded[model] = n_ctx
        self._due_at[model] = now_s + KNOWN_FOR_S

    def doubt(self, model: str) -> None:
        """Have the server asked again before the next call."""
        self._due_at.pop(model, None)


def read_shown(body: bytes) -> Shown:
    """What an answer of /api/show says of the window. Raises InvalidReplyError."""
    try:
        document = orjson.loads(body)
        facts = document.get("model_info") or {}
        architecture = facts.get("general.architecture")
        trained = _count(facts.get(f"{architecture}.context_length"))
        num_ctx = _NUM_CTX.search(str(document.get("parameters") or ""))
    except (orjson.JSONDecodeError, TypeError, AttributeError) as exc:
        raise InvalidReplyError("no description of a model: is it Ollama?") from exc
    return Shown(trained or None, int(num_ctx.group(1)) if num_ctx else None)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
