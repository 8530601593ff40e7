"""The prompt as a pure function: what the model is shown; and how a stream is read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import Ask, Profile, prompt_for, read_answer
from agents.prompt import reply_bound
from llm import Delta, Final, LLMSettings, OllamaFailedError, StreamCutError, TokenBudget, ToolCall

SETTINGS = LLMSettings(model="of-settings", temperature=0.7, num_predict=70)
PLAIN = Profile("energy", None, None, None, None, max_history=10)
SPEAKING = Profile("energy", "of profile", "of-profile", 0.4, 40, max_history=10)
MODEL_FIELDS = {
    "role",
    "content",
    "images",
    "thinking",
    "tool_calls",
    "tool_name",
    "tool_call_id",
}

History = Sequence[Mapping[str, object]]


def turns(count: int) -> list[dict[str, object]]:
    """Question and reply, so often."""
    return [
        {"role": role, "content": f"{role} {n}"}
        for n in range(count)
        for role in ("user", "assistant")
    ]


def tool_call(name: str) -> dict[str, object]:
    """A call without arguments."""
    return {"function": {"name": name, "arguments": {}}}


def shown(ask: Ask, profile: Profile, history: History) -> list[dict[str, object]]:
    """The messages of the request."""
    request = prompt_for(ask, profile, history, SETTINGS).request
    return [dict(message) for message in request.messages if isinstance(message, Mapping)]


def test_the_prompt_is_system_history_question() -> None:
    """In this order, and nothing else."""
    messages = shown(Ask(message="new"), SPEAKING, turns(1))
    assert messages == [
        {"role": "system", "content": "of profile"},
        *turns(1),
        {"role": "user", "content": "new"},
    ]


@pytest.mark.parametrize("window", [0, 1, 2, 3, 4, 5])
def test_the_window_shows_the_last_messages_and_no_orphan_reply(window: int) -> None:
    """An odd window begins with a reply whose question is out of it: the reply goes with it."""
    ask = Ask(message="new", max_history=window)
    prompt = prompt_for(ask, PLAIN, turns(2), SETTINGS)
    fits = min(window, 4) // 2 * 2
    assert list(prompt.request.messages[:-1]) == turns(2)[4 - fits :]
    assert prompt.history_messages == fits


def test_tool_results_without_their_question_are_left_out_too() -> None:
    """The first message of the past is a user's or the system's."""
    history: list[dict[str, object]] = [
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "it is 42"},
        {"role": "system", "content": "a note"},
        *turns(1),
    ]
    assert shown(Ask(message="new"), PLAIN, history)[0] == {"role": "system", "content": "a note"}


roles = st.sampled_from(["user", "assistant", "system", "tool"])
messages = st.fixed_dictionaries(
    {"role": roles, "content": st.text()},
    optional={"job_id": st.text(), "at": st.text(), "usage": st.none(), "tool_name": st.text()},
)


@given(history=st.lists(messages, max_size=12), window=st.integers(0, 12))
def test_whatever_the_history_the_model_gets_a_tidy_end_of_it(
    history: list[dict[str, object]], window: int
) -> None:
    """At most the window, a tail of the history, beginning with a question, its own fields only.
    A message of white space says nothing and may be left out."""
    ask = Ask(message="new", max_history=window)
    prompt = prompt_for(ask, PLAIN, history, SETTINGS)
    sent = [message for message in prompt.request.messages if isinstance(message, Mapping)]
    tail = history[len(history) - prompt.history_messages :]
    assert len([message for message in tail if message["role"] != "tool"]) <= window
    assert sent[0]["role"] in ("user", "system")
    assert all(set(message) <= MODEL_FIELDS for message in sent)
    said = [str(message["content"]) for message in sent]
    assert all(any(str(message["content"]).strip() in text for text in said) for message in tail)


@pytest.mark.parametrize(
    ("window", "turns_shown"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (9, 3)]
)
def test_the_window_counts_what_is_said_and_not_what_tools_did(
    window: int, turns_shown: int
) -> None:
    """A turn with many calls would else push the conversation out, itself included."""
    call = {"role": "assistant", "content": "", "tool_calls": [tool_call("f")]}
    result = {"role": "tool", "content": "42", "tool_name": "f"}
    question, reply = turns(1)
    turn: list[dict[str, object]] = [question, *[call, result] * 3, reply]
    sent = shown(Ask(message="new", max_history=window), PLAIN, turn * 3)[:-1]
    assert sent == turn * turns_shown


def test_only_fields_that_a_model_knows_are_sent() -> None:
    """Ids, times, counts and metadata of ours stay at home; the model's own are kept."""
    past = [
        {"role": "user", "content": "c", "images": ["iVBORw0KGgo="]},
        {"role": "assistant", "content": "", "tool_calls": [tool_call("f")]},
        {"role": "tool", "content": "42", "tool_name": "f"},
        {"role": "assistant", "content": "d"},
    ]
    ours = {"job_id": "j", "at": "now", "usage": {}, "metadata": {}, "model": "m"}
    sent = shown(Ask(message="new"), PLAIN, [{**message, **ours} for message in past])
    assert sent[:-1] == past


def test_images_format_and_thinking_go_with_the_new_message() -> None:
    """Images in the message, the others in the request; a plain ask sends none of them."""
    ask = Ask(message="new", images=("iVBORw0KGgo=",), format="json", think="low")
    request = prompt_for(ask, PLAIN, turns(1), SETTINGS).request
    assert request.messages[-1] == {"role": "user", "content": "new", "images": ["iVBORw0KGgo="]}
    assert (request.format, request.think) == ("json", "low")
    plain = prompt_for(Ask(message="new"), PLAIN, [], SETTINGS).request
    assert (plain.messages[-1], plain.format, plain.think) == (
        {"role": "user", "content": "new"},
        None,
        None,
    )


def test_what_tools_have_done_stands_behind_the_message_and_is_never_left_out() -> None:
    """The history gives way to it; tools count, too."""
    call = {"function": {"name": "f", "arguments": {}}}
    steps: list[dict[str, object]] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "x" * 400, "tool_name": "f"},
    ]
    tools = [{"type": "function", "function": {"name": "f", "description": "y" * 400}}]
    past = [dict(one, content=str(one["content"]) + "z" * 100) for one in turns(5)]
    budget = TokenBudget.of(640, 64)
    plain = prompt_for(Ask(message="new"), PLAIN, past, SETTINGS, budget)
    called = prompt_for(Ask(message="new"), PLAIN, past, SETTINGS, budget, steps=steps, tools=tools)
    assert called.request.messages[-3:] == ({"role": "user", "content": "new"}, *steps)
    assert called.request.tools == tuple(tools)
    assert called.history_messages < plain.history_messages == 10
    assert called.history_messages % 2 == 0


def test_the_history_is_not_changed() -> None:
    """The caller's list and dicts stay as they are."""
    history: list[dict[str, object]] = [{"role": "assistant", "content": "orphan"}, *turns(1)]
    before = [dict(message) for message in history]
    prompt_for(Ask(message="new"), PLAIN, history, SETTINGS)
    assert history == before


def test_the_ask_wins_over_the_profile_and_the_profile_over_the_settings() -> None:
    """For the prompt, the model, the temperature, the tokens and the window alike."""
    ask = Ask(
        message="new",
        system_prompt="of ask",
        model="of-ask",
        temperature=0.0,
        max_tokens=1,
        max_history=0,
    )
    by_ask = prompt_for(ask, SPEAKING, turns(1), SETTINGS).request
    assert (by_ask.model, by_ask.temperature, by_ask.max_tokens) == ("of-ask", 0.0, 1)
    assert by_ask.messages[0] == {"role": "system", "content": "of ask"}
    assert len(by_ask.messages) == 2

    by_profile = prompt_for(Ask(message="new"), SPEAKING, [], SETTINGS).request
    assert (by_profile.model, by_profile.temperature, by_profile.max_tokens) == (
        "of-profile",
        0.4,
        40,
    )
    by_settings = prompt_for(Ask(message="new"), PLAIN, [], SETTINGS).request
    assert (by_settings.model, by_settings.temperature, by_settings.max_tokens) == (
        "of-settings",
        0.7,
        70,
    )


def test_an_empty_system_prompt_means_none_at_all() -> None:
    """So a caller can do without the profile's."""
    assert shown(Ask(message="new", system_prompt=""), SPEAKING, []) == [
        {"role": "user", "content": "new"}
    ]


async def stream(
    *records: Delta | Final | Exception | list[Delta],
) -> AsyncIterator[Sequence[Delta | Final]]:
    """A model's reply: records that come alone, and lists that come together; an error in it is
    raised."""
    for record in records:
        if isinstance(record, Exception):
            raise record
        yield record if isinstance(record, list) else [record]


def nobody_hears(_: Delta, __: int) -> None:
    """What comes is not looked at."""


async def test_an_answer_is_the_joined_text_and_its_counts() -> None:
    """Each piece is handed on as it comes, thinking included; thinking is no part of the text."""
    seen: list[tuple[Delta, int]] = []
    pieces = (Delta(thinking="hm"), Delta(text="Hel"), Delta(text="lo"))
    replied = stream(*pieces, Final(model="m", completion_tokens=3))
    answer = await read_answer(replied, lambda *said: seen.append(said))
    assert (answer.text, answer.final.completion_tokens) == ("Hello", 3)
    assert seen == [(piece, 1) for piece in pieces]


async def test_pieces_that_come_together_are_one() -> None:
    """What each of them brings is in it, in its order, calls of tools too."""
    seen: list[tuple[Delta, int]] = []
    first, second = ToolCall("one"), ToolCall("two")
    together = [
        Delta(thinking="h"),
        Delta(thinking="m", tool_calls=(first,)),
        Delta("Hel", tool_calls=(second,)),
        Delta("lo"),
    ]
    replied = stream(together, Delta("!"), Final())
    answer = await read_answer(replied, lambda *said: seen.append(said))
    assert seen == [(Delta("Hello", "hm", (first, second)), 4), (Delta("!"), 1)]
    assert (answer.text, answer.thinking) == ("Hello!", "hm")
    assert answer.tool_calls == (first, second)


async def test_a_stream_without_its_end_is_no_answer() -> None:
    """What was read of it is not taken for a whole reply."""
    with pytest.raises(StreamCutError):
        await read_answer(stream(Delta(text="half an an")), nobody_hears)


async def test_an_error_of_the_stream_is_raised_as_it_is() -> None:
    """The retry table decides by its type."""
    with pytest.raises(OllamaFailedError):
        await read_answer(stream(Delta(text="half"), OllamaFailedError("died")), nobody_hears)


async def test_an_empty_reply_is_an_answer() -> None:
    """A model may say nothing."""
    assert (await read_answer(stream(Final()), nobody_hears)).text == ""


def test_room_is_kept_for_the_reply_that_is_asked_for() -> None:
    """Of the model that is asked, unless the job or the profile bounds it."""
    settings = SETTINGS.model_copy(update={"num_predict_by_model": "big=700, of-profile=7"})
    plain = Ask(message="new", model="big")
    for ask, profile in (
        (plain, PLAIN),
        (Ask(message="new"), PLAIN),
        (Ask(message="new"), SPEAKING),
        (replace(plain, max_tokens=3), SPEAKING),
    ):
        asked = prompt_for(ask, profile, [], settings).request
        assert reply_bound(ask, profile, settings) == asked.max_tokens
    assert reply_bound(plain, PLAIN, settings) == 700
    assert reply_bound(plain, SPEAKING, settings) == 40
