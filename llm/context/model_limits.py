"""The windows of one server's models, and how many tokens they count. No I/O.

A loaded model has the window that GET /api/ps reports, at most the length that it was trained for:
v0.13 reports what was asked for (v13:server/routes.go:1823). For another one it is the setting
(LLM_NUM_CTX or its LLM_NUM_CTX_BY_MODEL), else what its Modelfile says (POST /api/show), else an
assumption: Ollama chooses the window when it loads the model, by the memory that it then has. A
model that no server loads, such as one of the cloud, has the length that it was trained for.
"""

from dataclasses import dataclass, field, replace

from llm.context.budget import MIN_COUNTED_TOKENS, Fit, TokenBudget, bounded
from llm.context.estimate import IMAGE_TOKENS, bounded_image
from llm.errors import ContextOverflowError
from llm.settings import LLMSettings
from llm.wire.models import Loaded, ModelDetails, RecentlyUsed

KNOWN_FOR_S = 60.0
"""How long the window of a loaded model counts."""
ASSUMED_FOR_S = 2.0
FAILED_FOR_S = 10.0
"""How long a server that did not answer is not asked again."""

RISE, FALL = 0.3, 0.1
"""How far one count moves the ratio: an estimate that is too low costs a refused call, one that is
too high some turns of an old conversation."""


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """A model's window in tokens, and whether that is more than an assumption.

    Only a reply within a `is_loaded_here` window can run past it and go on.
    """

    tokens: int
    is_known: bool
    is_loaded_here: bool = True


@dataclass(slots=True)
class _Model:
    """What is known of one model; its window as it was last loaded."""

    loaded_tokens: int | None = None
    details: ModelDetails | None = None
    reports_window: bool = True
    is_elsewhere: bool = False
    due_at_s: float = field(default=float("-inf"))
    ratio: float | None = None
    image_tokens: float | None = None


def budget_of(
    window: ContextWindow, max_tokens: int | None, ratio: float, image_tokens: float
) -> TokenBudget:
    """The token budget of a window."""
    budget = TokenBudget.of(
        window.tokens, max_tokens, ratio=ratio, is_known=window.is_known, image_tokens=image_tokens
    )
    return budget if window.is_loaded_here else replace(budget, may_shift=False)


class ModelLimits:
    """What is known of the models of one server; `now_s` is any clock that only goes forward."""

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._models: RecentlyUsed[_Model] = RecentlyUsed()

    def window(self, model: str) -> ContextWindow:
        """The window that a call of `model` will find."""
        known, wanted = self._of(model), self._settings.window_tokens(model)
        details = known.details or ModelDetails()
        # A setting that the loaded model does not have makes Ollama load it anew.
        stated = wanted or details.num_ctx
        if known.is_elsewhere:
            stated = stated or details.trained_tokens
        elif known.loaded_tokens is not None:
            stated = min(known.loaded_tokens, wanted or known.loaded_tokens)
        tokens = stated or self._settings.assumed_window_tokens
        return ContextWindow(
            min(tokens, details.trained_tokens or tokens),
            is_known=stated is not None,
            is_loaded_here=not known.is_elsewhere,
        )

    def ratio(self, model: str) -> float:
        """Tokens that the model counts for each estimated one, of late; 1 without any count."""
        return self._of(model).ratio or 1.0

    def image_tokens(self, model: str) -> float:
        """Tokens that the model counts for an image, of late; without any count an estimate."""
        known = self._of(model)
        least = known.details.image_tokens if known.details is not None else None
        return known.image_tokens or least or IMAGE_TOKENS

    def budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        """The token budget of a prompt for `model` whose reply is bounded by `max_tokens`."""
        return budget_of(
            self.window(model), max_tokens, self.ratio(model), self.image_tokens(model)
        )

    def is_due(self, model: str, now_s: float) -> bool:
        """Whether the server should be asked (again)."""
        return now_s >= self._of(model).due_at_s

    def wants_details(self, model: str) -> bool:
        """Whether /api/show could say what is not known yet."""
        known = self._of(model)
        # What is loaded says it better, unless it was asked for more than it was trained for.
        is_told = known.loaded_tokens is not None and self._settings.window_tokens(model) is None
        return known.details is None and not is_told

    def reports_window(self, model: str) -> bool:
        """Whether the server reports the window of the model once it is loaded, as far as is
        known: old versions never do."""
        return self._of(model).reports_window

    def note_loaded(self, model: str, found: Loaded | None, now_s: float) -> None:
        """What /api/ps has for `model`. What is not in it keeps its last window: it will most
        likely be loaded with the same again."""
        known = self._noted(model)
        window_tokens = 0 if found is None else found.window_tokens
        if window_tokens:
            known.loaded_tokens = window_tokens
        elif found is not None:
            known.reports_window = False
        # A model that is not loaded will most likely be, by the very call that asks.
        known.due_at_s = now_s + (KNOWN_FOR_S if window_tokens else ASSUMED_FOR_S)

    def note_elsewhere(self, model: str, now_s: float) -> None:
        """The server does not load the model: it stands in no /api/ps."""
        known = self._noted(model)
        known.is_elsewhere, known.due_at_s = True, now_s + KNOWN_FOR_S

    def note_details(self, model: str, details: ModelDetails) -> None:
        """What /api/show says."""
        self._noted(model).details = details

    def note_failure(self, model: str, now_s: float) -> None:
        """The server did not answer."""
        self._noted(model).due_at_s = now_s + FAILED_FOR_S

    def note_refusal(
        self, model: str, fit: Fit, refusal: ContextOverflowError, now_s: float
    ) -> None:
        """The server has refused a prompt as too long, and perhaps named its window and count."""
        if refusal.n_ctx:
            known = self._noted(model)
            known.loaded_tokens, known.due_at_s = refusal.n_ctx, now_s + KNOWN_FOR_S
        else:
            self.doubt(model)
        self.learn(model, fit, refusal.n_prompt_tokens or 0, is_answered=False)

    def doubt(self, model: str) -> None:
        """Have the server asked again before the next call."""
        self._noted(model).due_at_s = float("-inf")

    def learn(self, model: str, fit: Fit, counted_tokens: int, *, is_answered: bool = True) -> None:
        """Note what the model counted for a prompt: that it has answered, or refused."""
        if fit.images:
            self._note_images(model, fit, counted_tokens)
        else:
            self.note_count(model, fit.plain_tokens, counted_tokens)
        if is_answered and not self.window(model).is_known:
            self.doubt(model)  # it is loaded now: the next call asks for its window

    def note_count(self, model: str, plain_tokens: float, counted_tokens: int) -> None:
        """Note what the model counted for a prompt that was estimated at `plain_tokens`.

        A count that was left out (0), one of a very short prompt, and one of less than half of
        what was expected teach nothing: the last is a prompt that was cut, or a version of Ollama
        that does not count what it finds in its cache.
        """
        if min(plain_tokens, counted_tokens) < MIN_COUNTED_TOKENS:
            return
        seen, ratio = bounded(counted_tokens / plain_tokens), self.ratio(model)
        if counted_tokens < plain_tokens * ratio / 2:
            return
        known = self._noted(model)
        weight = 1.0 if known.ratio is None else RISE if seen > ratio else FALL
        known.ratio = ratio + (seen - ratio) * weight

    def _note_images(self, model: str, fit: Fit, counted_tokens: int) -> None:
        """The same for a prompt with images, which says nothing of the model's words."""
        seen = (counted_tokens - fit.text_tokens * fit.ratio) / fit.images
        # Left out, or without what was found in the cache.
        if seen < 1:
            return
        known, before = self._noted(model), self.image_tokens(model)
        weight = 1.0 if known.image_tokens is None else RISE if seen > before else FALL
        known.image_tokens = bounded_image(before + (seen - before) * weight)

    def _of(self, model: str) -> _Model:
        return self._models.of(model) or _Model()

    def _noted(self, model: str) -> _Model:
        known = self._models[model] = self._of(model)
        return known
