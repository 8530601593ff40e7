"""A prompt in the order that strict templates take, whatever the history."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import FULL, Ask, Profile, Prompt, PromptForm, Repairs, prompt_for
from agents.prompt import PLAIN
from llm import LLMSettings, TokenBudget
from memory import decode_messages
from tests.support.odd.histories import (
    ODD_HISTORIES,
    assistant,
    call,
    calls,
    stored,
    system,
    tool,
    user,
)
from tests.support.strict_template import assert_strict, roles_of

SETTINGS = LLMSettings(model="m")
SILENT = Profile("energy", None, None, None, None, max_history=100)
SPEAKING = Profile("energy", "Be brief.", None, None, None, max_history=100)
FORMS = {
    "all": FULL,
    "no tools": PromptForm(takes_tools=False),
    "plain": PLAIN,
    "alone": PromptForm(
        takes_images=False, takes_tools=False, takes_system=False, has_history=False
    ),
}


def prompt_of(
    history: Sequence[Mapping[str, object]],
    profile: Profile = SILENT,
    form: PromptForm = FULL,
    *,
    steps: Sequence[Mapping[str, object]] = (),
) -> Prompt:
    """The prompt of "new" after all of a session's history."""
    return prompt_for(
        Ask(message="new"),
        profile,
        history,
        SETTINGS,
        form=form,
        steps=steps,
        begins_session=True,
    )


def assert_is_strict(prompt: Prompt) -> None:
    """The strict check, for the form that the prompt has."""
    form = prompt.form
    assert_strict(
        prompt.request.messages, takes_tools=form.takes_tools, takes_system=form.takes_system
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ODD_HISTORIES)
def test_any_odd_history_becomes_a_prompt_that_strict_templates_take(case: str, form: str) -> None:
    """Each of the table, with a system prompt and without."""
    past = decode_messages(stored(case)).messages
    for profile in (SILENT, SPEAKING):
        assert_is_strict(prompt_of(past, profile, FORMS[form]))


_CALLS = st.lists(
    st.builds(call, st.none(), id=st.sampled_from(["a", "b", ""])) | st.builds(call),
    min_size=1,
    max_size=2,
)
_WORDS = st.sampled_from(["", " ", "words"])
MESSAGES = st.one_of(
    st.builds(user, _WORDS),
    st.builds(assistant, _WORDS),
    st.builds(assistant, _WORDS, thinking=st.just("hm")),
    st.builds(system, _WORDS),
    st.builds(lambda made, words: calls(*made, content=words), _CALLS, _WORDS),
    st.builds(tool, _WORDS, tool_call_id=st.sampled_from(["a", "b"])),
    st.builds(tool, _WORDS, tool_name=st.just("f")),
)
STEPS = st.lists(
    st.sampled_from(["a", "b", None]).map(
        lambda name: (
            (calls(call(id=name)), tool(tool_call_id=name, tool_name="capacity_of"))
            if name
            else (calls(call()), tool(tool_name="capacity_of"))
        )
    ),
    max_size=2,
)


@given(
    history=st.lists(MESSAGES, max_size=14),
    rounds=STEPS,
    form=st.sampled_from([*FORMS.values()]),
    profile=st.sampled_from([SILENT, SPEAKING]),
    limits=st.tuples(st.integers(0, 14), st.sampled_from([60, 120, 4096])),
)
def test_no_history_at_all_makes_a_prompt_that_a_template_refuses(
    history: list[dict[str, object]],
    rounds: list[tuple[dict[str, object], ...]],
    form: PromptForm,
    profile: Profile,
    limits: tuple[int, int],
) -> None:
    """However many messages are shown of it, whatever tools do in this turn, and cut or not."""
    window, room = limits
    prompt = prompt_for(
        Ask(message="new", max_history=window),
        profile,
        history,
        SETTINGS,
        TokenBudget.of(room, 10, is_known=False),
        steps=[step for both in rounds for step in both],
        form=form,
        begins_session=True,
    )
    assert_is_strict(prompt)
    assert prompt.history_messages <= len(history)


def test_neighbours_are_joined_and_named() -> None:
    """A question that was cancelled before the first word of its reply, and the new one."""
    prompt = prompt_of([user("one"), assistant("two"), assistant("three"), user("four")])
    assert [dict(one) for one in prompt.request.messages if isinstance(one, Mapping)] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two\n\nthree"},
        {"role": "user", "content": "four\n\nnew"},
    ]
    assert prompt.repairs == Repairs(merged=(2, 4))
    assert prompt.history_messages == 4


def test_notes_go_to_the_system_prompt() -> None:
    """In their order, behind the profile's; the first of a session without one is where it was."""
    past = [system("a"), user("one"), assistant("two"), system("b")]
    assert prompt_of(past, SPEAKING).request.messages[0] == {
        "role": "system",
        "content": "Be brief.\n\na\n\nb",
    }
    assert prompt_of(past, SPEAKING).repairs == Repairs(moved=(0, 3))
    assert prompt_of(past).repairs == Repairs(moved=(3,))


def test_what_the_assistant_says_first_is_kept() -> None:
    """The user's first words may be the answer to it; of a part of a session it is left out."""
    past = [assistant("Which country?"), user("Ghana"), assistant("5000 MW.")]
    whole = prompt_of(past)
    assert roles_of(whole.request.messages) == ["system", "user", "assistant", "user"]
    assert "Which country?" in str(whole.request.messages[0])
    assert (whole.history_messages, whole.repairs) == (3, Repairs(moved=(0,)))
    part = prompt_for(Ask(message="new"), SILENT, past, SETTINGS)
    assert (part.history_messages, part.repairs) == (2, Repairs())
    long = prompt_of([assistant("word " * 1000), *past[1:]])
    assert long.history_messages == 2


@pytest.mark.parametrize("empty", [assistant(""), assistant(" \n"), assistant("", thinking="hm")])
def test_an_empty_reply_is_never_sent_again(empty: Mapping[str, object]) -> None:
    """Its question stands with the next one."""
    prompt = prompt_of([user("one"), empty])
    assert prompt.request.messages == ({"role": "user", "content": "one\n\nnew"},)
    assert prompt.repairs == Repairs(merged=(2,), left_out=(1,))


def test_a_model_without_tools_reads_their_results_as_text() -> None:
    """A turn of a conversation that has changed its model."""
    past = [user("one"), calls(call(id="c")), tool("5000", tool_call_id="c"), assistant("Five.")]
    prompt = prompt_of(past, form=PromptForm(takes_tools=False))
    assert [dict(one) for one in prompt.request.messages if isinstance(one, Mapping)] == [
        {"role": "user", "content": "one\n\nResult: 5000"},
        {"role": "assistant", "content": "Five."},
        {"role": "user", "content": "new"},
    ]
    assert prompt.repairs == Repairs(merged=(2,), as_text=(1, 2))


def test_results_stand_in_the_order_of_their_calls_and_name_them() -> None:
    """Some templates pair them by place, some by id, some by name."""
    past = [
        user("one"),
        calls(call(id="a"), call(id="b"), call(id="lost")),
        tool("of b", tool_call_id="b"),
        tool("of a", tool_call_id="a"),
        assistant("Both."),
    ]
    sent = prompt_of(past).request.messages
    assert_strict(sent)
    assert [one["content"] for one in sent[2:4] if isinstance(one, Mapping)] == ["of a", "of b"]


def test_a_tidy_history_is_sent_as_it_is() -> None:
    """Tools, images and system prompt included; nothing is named."""
    past = [user("one"), calls(call(id="c")), tool("5", tool_call_id="c"), assistant("Five.")]
    named = {**past[2], "tool_name": "capacity_of"}
    prompt = prompt_of([*past, *past], SPEAKING)
    half = (past[0], past[1], named, past[3])
    assert prompt.request.messages[1:-1] == (*half, *half)
    assert prompt.repairs == Repairs()
