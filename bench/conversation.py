"""The conversation that every system under test has to carry. Pure."""

MESSAGE = "What did the second working group recommend about cross-border power pooling?"
AGENT = "bench"
HISTORY_MESSAGES = 20

_QUESTION = "Question {i}: which of the points raised in the plenary still needs a decision?"
_ANSWER = (
    "Answer {i}: the tariff schedule and the transit guarantees are still open; the working "
    "group will return to both before the closing session."
)


def messages(amount: int = HISTORY_MESSAGES) -> list[dict[str, object]]:
    """`amount` earlier messages as a model is shown them, questions and answers in turn."""
    return [_plain(i) for i in range(amount)]


def stored(amount: int = HISTORY_MESSAGES) -> list[dict[str, object]]:
    """The same as Griot's committed turns lie in Redis: with what a reply is remembered by."""
    return [_plain(i) | _remembered(i) for i in range(amount)]


def sessions(run: str, amount: int) -> list[str]:
    """Ids of `amount` sessions, no two runs alike."""
    return [f"{run}-{i}" for i in range(amount)]


def _plain(i: int) -> dict[str, object]:
    if i % 2:
        return {"role": "assistant", "content": _ANSWER.format(i=i)}
    return {"role": "user", "content": _QUESTION.format(i=i)}


def _remembered(i: int) -> dict[str, object]:
    common: dict[str, object] = {
        "job_id": f"00000000-0000-4000-8000-{i // 2:012d}",
        "at": "2026-11-22T10:00:00.000Z",
    }
    if i % 2 == 0:
        return common
    return common | {
        "model": "instant",
        "usage": {"prompt_tokens": 700, "completion_tokens": 40},
        "done_reason": "stop",
        "attempt": 1,
        "history_messages": 20,
    }
