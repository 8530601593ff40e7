"""What a job's last attempt has said, gathered from the newest event back."""

import pytest

from memory import Event, EventType, LastAttempt

KINDS = {
    "queued": EventType.QUEUED,
    "started": EventType.STARTED,
    "thinking": EventType.THINKING,
    "tool_call": EventType.TOOL_CALL,
    "done": EventType.DONE,
    "cancelled": EventType.CANCELLED,
}


def stream(*told: str) -> list[Event]:
    """Events such as `j1 started 1`, the oldest first; other words are a token's text."""
    found = []
    for line in told:
        job, what, attempt = line.split()
        kind = KINDS.get(what, EventType.TOKEN)
        text = what if kind is EventType.TOKEN else ""
        found.append(Event(kind, job, int(attempt), text))
    return found


SAID = {
    "nothing": ((), ""),
    "only queued": (("j1 queued 0",), ""),
    "one attempt": (("j1 queued 0", "j1 started 1", "j1 a 1", "j1 b 1"), "ab"),
    "thoughts are not said": (("j1 started 1", "j1 thinking 1", "j1 a 1"), "a"),
    "the last of two": (("j1 started 1", "j1 a 1", "j1 started 2", "j1 b 2", "j1 c 2"), "bc"),
    "the last, which has said nothing": (("j1 started 1", "j1 a 1", "j1 started 2"), ""),
    "given back, and again under its number": (
        ("j1 started 1", "j1 a 1", "j1 started 1", "j1 b 1"),
        "b",
    ),
    "before a tool is called nothing of the reply is said": (
        ("j1 started 1", "j1 a 1", "j1 tool_call 1", "j1 tool_call 1", "j1 b 1"),
        "b",
    ),
    "a late call of the lost attempt": (
        ("j1 started 1", "j1 a 1", "j1 started 2", "j1 b 2", "j1 tool_call 1"),
        "b",
    ),
    "a late token of the lost attempt": (
        ("j1 started 1", "j1 a 1", "j1 started 2", "j1 b 2", "j1 late 1"),
        "b",
    ),
    "others wait and are withdrawn": (
        ("j1 started 1", "j1 a 1", "j2 queued 0", "j2 cancelled 0", "j1 b 1", "j3 queued 0"),
        "ab",
    ),
    "the turn before": (("j0 started 1", "j0 x 1", "j1 queued 0", "j0 y 1", "j0 done 1"), ""),
}


@pytest.mark.parametrize(("told", "said"), SAID.values(), ids=SAID.keys())
@pytest.mark.parametrize("page", [1, 2, 500])
def test_the_text_is_what_a_follower_has(told: tuple[str, ...], said: str, page: int) -> None:
    """However the stream is cut into pages."""
    attempt = LastAttempt("j1")
    back = stream(*told)[::-1]
    while not attempt.is_whole:
        attempt.take(back[:page])
        back = back[page:]
    assert attempt.text == said


def test_no_more_is_read_than_belongs_to_the_attempt() -> None:
    """A long session is not read through for a job that nobody had begun."""
    attempt = LastAttempt("j2")
    attempt.take(stream("j1 a 1", "j1 cancelled 1")[::-1])
    assert attempt.is_whole
