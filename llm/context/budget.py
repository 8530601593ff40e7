"""What of a conversation a model is shown: whole turns, within its window. No I/O.

The prompt is the system prompt, as many recent whole turns as fit, and the new message. Ollama has
no way to count tokens beforehand, so they are estimated from the text and put right by what it
counted in earlier calls (`TokenBudget.ratio`, `Precedent`).

The history is cut in large steps: once the prompt fills `FULL` of its token budget, the history is
cut until it fills `TRIMMED`, and the cut stays where it is until the budget is full again. So
consecutive prompts begin alike, and the model's server need not evaluate the conversation anew for
each turn. Where the last cut was is read from the session's own record (`Precedent`), not from the
memory of a process: all workers cut alike (docs/decisions.md, "The cut of a conversation is kept in
its own record").
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

from llm.context.estimate import (
    IMAGE_TOKENS,
    PROMPT_TOKENS,
    bounded_image,
    estimated,
    images_in,
)
from llm.errors import ContextOverflowError

History: TypeAlias = Sequence[Mapping[str, object]]

FULL, TRIMMED = 0.9, 0.6
"""Parts of the token budget: over the first a history is cut, down to the second."""
TOO_LATE = 0.5
"""A cut that shows so little although one turn more would still fit is not kept."""

OVERFLOW_MARGIN, UNKNOWN_OVERFLOW = 1.05, 1.25
"""How much more than it was a prompt is taken for that proved too long."""

MIN_RATIO, MAX_RATIO = 0.6, 6.0
MIN_COUNTED_TOKENS = 64
"""A shorter prompt says too little of the text: it is mostly template."""


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How many tokens a prompt may have.

    `reply_tokens` are kept free for the reply, `ratio` is how many tokens the model counts for one
    that is estimated: `is_measured` says that it is this very conversation's. Nothing is refused
    for the sake of a window that is only assumed (not `is_known`). `image_tokens` are counted for
    an image. `may_shift`: its server may let a reply run past the window.
    """

    window_tokens: int
    reply_tokens: int
    ratio: float = 1.0
    is_known: bool = True
    is_measured: bool = False
    image_tokens: float = IMAGE_TOKENS
    may_shift: bool = True

    @classmethod
    def of(
        cls,
        window_tokens: int,
        max_tokens: int | None,
        *,
        ratio: float = 1.0,
        is_known: bool = True,
        image_tokens: float = IMAGE_TOKENS,
    ) -> "TokenBudget":
        """The budget of a window. At most half of it is kept for a reply of `max_tokens`.

        Where the reply has no bound a quarter is kept, at most 4096 tokens; it may be longer.
        """
        # docs/decisions.md, "Where the reply has no limit, none is sent".
        wanted = min(window_tokens // 4, 4096) if max_tokens is None else max_tokens
        reply_tokens = min(wanted, window_tokens // 2)
        return cls(window_tokens, reply_tokens, ratio, is_known, image_tokens=image_tokens)

    @property
    def prompt_tokens(self) -> int:
        """The most that a prompt with a history may have; a margin is kept for the estimate."""
        return self.window_tokens - self._margin_tokens - self.reply_tokens

    @property
    def message_tokens(self) -> int:
        """The most that a prompt without any history may have: the reply then gets less."""
        least = min(self.reply_tokens, self.window_tokens // 8)
        return self.window_tokens - self._margin_tokens - least

    def left_after(self, prompt_tokens: int) -> int | None:
        """The longest reply behind such a prompt that stays within the window; None where no
        window is known, or the server bounds the reply itself."""
        if not self.is_known or not self.may_shift:
            return None
        return max(1, self.window_tokens - self._margin_tokens - prompt_tokens)

    @property
    def _margin_tokens(self) -> int:
        return max(4, self.window_tokens // 32)


UNLIMITED = TokenBudget(1 << 40, 0, is_known=False)
"""A budget for everything, where nothing is known of the model."""


@dataclass(frozen=True, slots=True)
class Precedent:
    """The prompt of an earlier turn of the session: `history[first:end]`, its question the last.

    `first` is negative where the history has lost its beginning since. `counted_tokens` is what
    the model counted for it, 0 where that is not known.
    """

    first: int
    end: int
    counted_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits: `history[first:]`, and how long the prompt then is by the estimate.

    `plain_tokens` is the estimate before it is put right by `ratio`. `is_cut`: there were turns
    that did not fit. `images` are in it, each with `image_tokens` of the plain ones.
    """

    first: int
    estimated_tokens: int
    plain_tokens: float
    ratio: float
    is_cut: bool = False
    images: int = 0
    image_tokens: float = IMAGE_TOKENS

    @property
    def text_tokens(self) -> float:
        """The plain tokens without the images."""
        return self.plain_tokens - self.images * self.image_tokens

    def of(self, messages: History, extra_tokens: float = 0.0) -> "Fit":
        """The same of these messages, and of what is sent besides them: all that is sent."""
        lengths = [estimated(message, self.image_tokens) for message in messages]
        plain_tokens = PROMPT_TOKENS + extra_tokens + sum(lengths)
        return replace(
            self,
            estimated_tokens=math.ceil(plain_tokens * self.ratio),
            plain_tokens=plain_tokens,
            images=sum(map(images_in, messages)),
        )


def fit(
    head: History,
    history: History,
    turn: History,
    budget: TokenBudget,
    *,
    precedent: Precedent | None = None,
    extra_tokens: float = 0.0,
) -> Fit:
    """Where the shown part of `history` begins: always at the begin of a turn, or at its end.

    `head` (the system prompt) and `turn` (the new message, and what already answers it) are always
    in; `extra_tokens` stand for what is sent besides messages. Raises ContextOverflowError where
    they alone are longer than a known window allows.
    """
    ratio = budget.ratio
    texts = [estimated(one, 0.0) for one in history]
    images = [images_in(one) if "images" in one else 0 for one in history]
    # docs/decisions.md, "A session's own count goes before the model's".
    if precedent is not None and not budget.is_measured:
        before = PROMPT_TOKENS + extra_tokens + sum(map(estimated, head))
        ratio = _ratio_of(precedent, texts, images, before, budget)
    # What an image costs does not depend on the words: all is multiplied by the ratio afterwards.
    image_tokens = budget.image_tokens / ratio
    each = (text + image_tokens * of for text, of in zip(texts, images, strict=True))
    upto = [0.0, *accumulate(each if any(images) else texts)]
    fixed = [*head, *turn]
    needed = PROMPT_TOKENS + extra_tokens + sum(estimated(one, image_tokens) for one in fixed)
    # An assumed window refuses nothing: docs/decisions.md, "A window that is only assumed refuses
    # nothing".
    if budget.is_known and needed * ratio > budget.message_tokens:
        raise _too_long(math.ceil(needed * ratio), budget)
    # Whole turns only: a reply without its question, or half a call of tools, misleads the model.
    starts = [*turn_starts(history), len(history)]
    lengths = [(needed + upto[-1] - upto[start]) * ratio for start in starts]
    at = _cut(starts, lengths, budget.prompt_tokens, precedent)
    shown_images = sum(images[starts[at] :]) + sum(map(images_in, fixed))
    first, plain = starts[at], lengths[at] / ratio
    return Fit(first, math.ceil(lengths[at]), plain, ratio, at > 0, shown_images, image_tokens)


def turn_starts(history: History) -> list[int]:
    """Where turns begin: at each user's message, and at a note of the system between two turns.

    What stands before the first of them has lost its question and belongs to none.
    """
    starts = []
    is_between = True
    for index, message in enumerate(history):
        role = message.get("role")
        if role == "user":
            starts.append(index)
            is_between = False
        elif role == "system":
            if is_between:
                starts.append(index)
        else:
            is_between = role == "assistant"
    return starts


def measured(budget: TokenBudget, fit: Fit, counted_tokens: int | None) -> TokenBudget:
    """The budget of a second try of the prompt that was `fit`, which proved too long.

    `counted_tokens` is what the server counted for it; None: all that is certain is that it was
    longer than the window.
    """
    # By more than was counted: the shorter prompt is another text, and a third try is not made.
    if counted_tokens and fit.images:
        in_text = fit.text_tokens * fit.ratio
        each = max(counted_tokens - in_text, 0.0) / fit.images * OVERFLOW_MARGIN
        image_tokens = bounded_image(max(each, budget.image_tokens))
        # The images explain it, unless they had to be more than any model counts for one.
        return replace(budget, ratio=fit.ratio, image_tokens=image_tokens, is_measured=True)
    if counted_tokens:
        ratio = counted_tokens / fit.plain_tokens * OVERFLOW_MARGIN
    else:
        ratio = max(fit.ratio, budget.window_tokens / fit.plain_tokens) * UNKNOWN_OVERFLOW
    return replace(budget, ratio=bounded(ratio), is_measured=True)


def _cut(
    starts: Sequence[int], lengths: Sequence[float], budget_tokens: int, precedent: Precedent | None
) -> int:
    """Which of `starts` is the first that is shown; `lengths` are the prompts' from each on."""
    full, trimmed = budget_tokens * FULL, budget_tokens * TRIMMED
    # Kept only while it fills a good part: a larger window or another model is not bound by it.
    if precedent is not None:
        kept = next((at for at, start in enumerate(starts) if start >= precedent.first), 0)
        is_early = kept == 0 or lengths[kept - 1] > budget_tokens * TOO_LATE
        if is_early and lengths[kept] <= full:
            return kept
    if lengths[0] <= full:
        return 0
    at = next((at for at, length in enumerate(lengths) if length <= trimmed), len(starts) - 1)
    # Better one long turn than none at all.
    if at == len(starts) - 1 and at and lengths[at - 1] <= full:
        return at - 1
    return at


def _ratio_of(
    precedent: Precedent,
    texts: Sequence[float],
    images: Sequence[int],
    head_tokens: float,
    budget: TokenBudget,
) -> float:
    """What the model counted for one estimated token of this very session, if that is known.

    `texts` are the estimates of the history's messages without their `images`.
    """
    if precedent.first < 0:
        return budget.ratio
    shown = slice(precedent.first, precedent.end)
    counted = precedent.counted_tokens - sum(images[shown]) * budget.image_tokens
    if counted < MIN_COUNTED_TOKENS:
        return budget.ratio
    return bounded(counted / (head_tokens + sum(texts[shown])))


def bounded(ratio: float) -> float:
    """A ratio within what any tokenizer makes of any text."""
    return min(MAX_RATIO, max(MIN_RATIO, ratio))


def _too_long(needed_tokens: int, budget: TokenBudget) -> ContextOverflowError:
    return ContextOverflowError(
        "the message does not fit the model's window: with the system prompt it has about "
        f"{needed_tokens} tokens, but a window of {budget.window_tokens} leaves it "
        f"{budget.message_tokens}: shorten it, or raise LLM_NUM_CTX",
        n_prompt_tokens=needed_tokens,
        n_ctx=budget.window_tokens,
    )
