"""Which failure of an attempt is tried again, and when. Pure.

Mailboxes count the attempts (memory/mailbox/lua/acquire.lua); this says what an error is worth.
"""

import random

from pydantic import JsonValue

from llm import LLMError, PermanentLLMError, RetryableLLMError

# The first row that fits decides. Everything that is not listed is a fault of ours: a dead letter
# at once, so that it is seen and the session goes on.
IS_RETRIED: tuple[tuple[type[Exception], bool], ...] = (
    (PermanentLLMError, False),
    (RetryableLLMError, True),
    (LLMError, False),
)

MAX_ERROR_CHARS = 1000
"""Of an error, in what followers are told and in what is kept of the attempt."""

_RNG = random.Random()  # noqa: S311  # jitter is no secret


def backoff_s(attempt: int, *, base_s: float, max_s: float, rng: random.Random = _RNG) -> float:
    """The back-off after attempt number `attempt` (1 is the first): exponential, with full jitter.

    Formula: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015;
    here the lower half is kept free, so that it never shrinks to nothing.
    """
    ceiling_s = min(max_s, base_s * 2.0 ** min(attempt - 1, 30))
    return ceiling_s * (0.5 + 0.5 * rng.random())


def retry_in_s(error: Exception, attempt: int, *, base_s: float, max_s: float) -> float:
    """The wait after a failed attempt: the back-off, or longer where the server asks for it."""
    asked_s = error.retry_after_s if isinstance(error, LLMError) else None
    return max(backoff_s(attempt, base_s=base_s, max_s=max_s), asked_s or 0.0)


def is_retried(error: Exception) -> bool:
    """Whether the same job may succeed later."""
    return next((again for kind, again in IS_RETRIED if isinstance(error, kind)), False)


def wait_data(error: Exception, delay_s: float, max_attempts: int) -> dict[str, JsonValue]:
    """The `data` of the `waiting` event after an attempt that failed."""
    return {
        "reason": "retry",
        "error": str(error)[:MAX_ERROR_CHARS],
        "wait_s": round(delay_s, 1),
        "max_attempts": max_attempts,
    }
