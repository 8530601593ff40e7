"""How a summary is asked for, and how it is shown."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.summary import SUMMARY_TOKENS, digest_of, with_summary
from llm import UNLIMITED, LLMSettings, TokenBudget, estimated

SETTINGS = LLMSettings(num_ctx=4096)
Messages = list[Mapping[str, object]]


def turns(count: int, length: int = 20) -> Messages:
    """Question and reply, so often."""
    return [
        {"role": role, "content": f"{role} {number} {'x' * length}"}
        for number in range(count)
        for role in ("user", "assistant")
    ]


def asked(request_messages: object) -> str:
    """What the model is told to sum up."""
    assert isinstance(request_messages, tuple)
    return str(request_messages[1]["content"])


@pytest.mark.parametrize(
    ("system_prompt", "summary", "told"),
    [
        ("Be brief.", None, "Be brief."),
        ("Be brief.", "", "Be brief."),
        (None, None, None),
        ("Be brief.", "They met.", "Be brief.\n\nSummary of the earlier conversation, which is "),
        (None, "They met.", "Summary of the earlier conversation, which is "),
    ],
)
def test_the_summary_takes_its_place_after_the_system_prompt(
    system_prompt: str | None, summary: str | None, told: str | None
) -> None:
    """In one message, for some models take no second one of the system."""
    found = with_summary(system_prompt, summary)
    assert found == told if not summary else str(found).startswith(str(told))
    assert not summary or str(found).endswith(summary)


def test_a_summary_is_made_of_the_notes_so_far_and_the_turns_since() -> None:
    """With the load-time options of every other call, or the model would be loaded anew."""
    digest = digest_of(turns(2), "They met.", UNLIMITED, SETTINGS, "m")
    assert digest is not None
    assert digest.messages == 4
    assert digest.request.options == {"num_ctx": 4096}
    assert digest.request.max_tokens == SUMMARY_TOKENS
    text = asked(digest.request.messages)
    assert "They met." in text
    assert text.index("User: user 0") < text.index("Assistant: assistant 1")


def test_a_message_that_only_calls_tools_is_no_line_of_the_conversation() -> None:
    """It has no words: the model is not told that the assistant said None."""
    calling: Messages = [
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "result"},
        {"role": "assistant", "content": "answer"},
    ]
    digest = digest_of(calling, None, UNLIMITED, SETTINGS, "m")
    assert digest is not None
    assert digest.messages == 5
    lines = asked(digest.request.messages).splitlines()[1:]
    assert lines == ["User: question", "Tool: result", "Assistant: answer"]


def test_without_a_whole_turn_there_is_nothing_to_sum_up() -> None:
    """Nor of a reply that has lost its question."""
    assert digest_of([], None, UNLIMITED, SETTINGS, "m") is None
    orphan: Messages = [{"role": "assistant", "content": "so"}]
    assert digest_of(orphan, None, UNLIMITED, SETTINGS, "m") is None


@given(lengths=st.lists(st.integers(0, 4000), min_size=1, max_size=12), ratio=st.floats(0.6, 3))
def test_as_many_whole_turns_as_fit_are_taken_from_the_begin(
    lengths: list[int], ratio: float
) -> None:
    """At least one, shortened if need be; the rest is for another time."""
    past: Messages = [message for length in lengths for message in turns(1, length)]
    budget = TokenBudget.of(2048, SUMMARY_TOKENS, ratio=ratio)
    digest = digest_of(past, "notes", budget, SETTINGS, "m")
    assert digest is not None
    assert digest.messages % 2 == 0
    assert 2 <= digest.messages <= len(past)
    prompt = [dict(message) for message in digest.request.messages if isinstance(message, dict)]
    assert sum(map(estimated, prompt)) * ratio <= budget.message_tokens
