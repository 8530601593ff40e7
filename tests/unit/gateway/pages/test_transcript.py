"""Conversations as turns, and as files."""

import json

import pytest

from gateway.pages.chat.export import as_json, as_markdown, file_name
from gateway.pages.chat.transcript import Message, title_of, turns_of

PNG = "iVBORw0KGgo="
CALL = {"function": {"name": "capacity_of", "arguments": {"place": "Akosombo"}}}
HISTORY: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is WAPP?", "job_id": "j1", "at": "2026-11-26T10:00:00.000Z"},
    {"role": "assistant", "content": "", "tool_calls": [CALL], "job_id": "j1"},
    {"role": "tool", "content": "1020 MW", "tool_name": "capacity_of", "job_id": "j1"},
    {"role": "assistant", "content": "A **pool**.", "job_id": "j1", "model": "m"},
    {"role": "user", "content": "From a script"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "See", "images": [PNG], "job_id": "j2", "cancelled": True},
]


def test_messages_become_turns() -> None:
    """By their jobs; what no job made is taken in pairs; a turn knows its place and size."""
    turns = turns_of(HISTORY)
    seen = [(turn.id, turn.role, turn.question, turn.answer) for turn in turns]
    assert seen == [
        (None, "system", "Be brief.", None),
        ("j1", "user", "What is WAPP?", "A **pool**."),
        (None, "user", "From a script", "Yes."),
        ("j2", "user", "See", None),
    ]
    assert [(turn.place, turn.size) for turn in turns] == [(0, 1), (1, 4), (5, 2), (7, 1)]
    assert turns[1].facts == {"model": "m"}
    expected = {"name": "capacity_of", "arguments": {"place": "Akosombo"}, "result": "1020 MW"}
    assert turns[1].tools == [expected]
    assert (turns[3].cancelled, turns[3].images) == (True, [f"data:image/png;base64,{PNG}"])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "of no call"},
        {"role": "assistant", "content": None, "tool_calls": "odd"},
        {"role": "assistant", "content": "", "tool_calls": ["odd"]},
        {"role": "user", "content": "x", "merged": ["odd", {"job_id": "j0"}], "images": "odd"},
        {"role": "odd", "content": "x"},
    ],
)
def test_an_odd_history_is_shown_all_the_same(message: Message) -> None:
    """Other programs write histories, too."""
    assert turns_of([message, *HISTORY])
    assert as_markdown("energy", "s", [message, *HISTORY])


def test_a_conversation_is_called_after_its_first_question() -> None:
    """In one line, cut where it is long; nothing where nothing was asked."""
    assert title_of(HISTORY) == "What is WAPP?"
    assert title_of([{"role": "user", "content": "a\n b" + "c" * 500}]) == "a b" + "c" * 77
    assert title_of([]) is None


def test_an_export_has_all_that_was_said() -> None:
    """Markdown to read, and JSON as the history has it."""
    text = as_markdown("energy", "summit", HISTORY).decode()
    for part in (
        "# summit",
        "## You (2026-11-26T10:00:00.000Z)\n\nWhat is WAPP?",
        '### Tool capacity_of\n\n```\n{"place":"Akosombo"}\n1020 MW\n```',
        "## energy\n\nA **pool**.",
        "*Images: 1*",
    ):
        assert part in text
    whole = json.loads(as_json("energy", "summit", HISTORY))
    assert whole == {"agent_id": "energy", "conversation": "summit", "messages": HISTORY}


@pytest.mark.parametrize(
    ("conversation", "name"),
    [
        ("web-1", "web-1.md"),
        ('../a"b\r\nX-Evil: 1', "a-b-X-Evil-1.md"),
        ("ärger", "rger.md"),
        ("…", "conversation.md"),
    ],
)
def test_a_file_is_called_as_any_system_takes_it(conversation: str, name: str) -> None:
    """No path and no header can be made of it."""
    assert file_name(conversation, "md") == name
