"""What of a conversation fits into a model's window: the promises as properties."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import ContextOverflowError, Precedent, TokenBudget, estimated, fit, turn_starts
from llm.context.budget import FULL, MAX_RATIO, OVERFLOW_MARGIN, TRIMMED, UNLIMITED, measured
from llm.context.estimate import PROMPT_TOKENS

Messages = list[Mapping[str, object]]
HEAD: Messages = [{"role": "system", "content": "You are brief."}]
ASKED: Messages = [{"role": "user", "content": "And now?"}]

texts = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda text, times: text * times, st.text(min_size=1, max_size=8), st.integers(1, 60)
    ),
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": texts},
    optional={
        "images": st.lists(st.just("aGk="), max_size=2),
        "tool_calls": st.just([{"function": {"name": "f", "arguments": {"a": 1}}}]),
        "thinking": st.text(max_size=20),
    },
)
histories = st.lists(messages, max_size=30)
ratios = st.floats(0.6, MAX_RATIO)
rooms = st.builds(
    TokenBudget.of, st.integers(256, 20_000), st.none() | st.integers(1, 10_000), ratio=ratios
)


@st.composite
def precedents(draw: st.DrawFn, most: int = 30) -> Precedent | None:
    """Any record of an earlier prompt, right or wrong."""
    end = draw(st.integers(0, most))
    first = draw(st.integers(-5, end))
    return draw(st.none() | st.just(Precedent(first, end, draw(st.integers(0, 20_000)))))


def length(shown: Sequence[Mapping[str, object]], ratio: float) -> float:
    """The estimate of a prompt with this history, before it is put right."""
    return fit(HEAD, shown, ASKED, replace(UNLIMITED, ratio=ratio)).plain_tokens


@given(history=histories, budget=rooms, data=st.data())
def test_never_over_the_window_by_the_estimate(
    history: Messages, budget: TokenBudget, data: st.DataObject
) -> None:
    """Less the reply's part and a margin; `estimated_tokens` is what the shown messages come to."""
    precedent = data.draw(precedents(len(history)))
    try:
        fitting = fit(HEAD, history, ASKED, budget, precedent=precedent)
    except ContextOverflowError:
        return
    shown = history[fitting.first :]
    assert fitting.plain_tokens == pytest.approx(length(shown, fitting.ratio))
    assert fitting.estimated_tokens >= fitting.plain_tokens * fitting.ratio - 1e-6
    assert fitting.estimated_tokens <= budget.message_tokens + 1
    if shown:
        assert fitting.estimated_tokens <= budget.prompt_tokens + 1
    assert budget.prompt_tokens <= budget.message_tokens < budget.window_tokens


@given(history=histories, budget=rooms, data=st.data())
def test_never_splits_a_turn(history: Messages, budget: TokenBudget, data: st.DataObject) -> None:
    """What is shown begins where a turn begins, or is nothing."""
    precedent = data.draw(precedents(len(history)))
    try:
        first = fit(HEAD, history, ASKED, budget, precedent=precedent).first
    except ContextOverflowError:
        return
    assert first in [*turn_starts(history), len(history)]
    if first < len(history):
        assert history[first]["role"] in ("user", "system")
        between = [message["role"] for message in history[:first]]
        assert history[first]["role"] == "user" or "user" not in between[-1:]


@given(history=histories, window=st.integers(300, 20_000), more=st.integers(0, 20_000))
def test_a_wider_window_never_shows_less(history: Messages, window: int, more: int) -> None:
    """Whatever the record of an earlier prompt says."""
    for precedent in (None, Precedent(len(history) // 2, len(history))):
        narrow, wide = (
            fit(HEAD, history, ASKED, TokenBudget.of(tokens, 100), precedent=precedent)
            for tokens in (window, window + more)
        )
        assert wide.first <= narrow.first


@given(history=histories, extra=st.integers(0, 4000))
def test_what_is_sent_besides_takes_room(history: Messages, extra: int) -> None:
    """The definitions of tools, say."""
    budget = TokenBudget.of(8192, 100)
    assert (
        fit(HEAD, history, ASKED, budget).first
        <= fit(HEAD, history, ASKED, budget, extra_tokens=extra).first
    )


turns = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=30, max_size=120)


@given(
    sizes=turns,
    window=st.integers(2000, 6000),
    kept=st.sampled_from([40, 80, 1000]),
    drift=st.lists(st.floats(0.95, 1.05), min_size=120, max_size=120),
)
def test_successive_prompts_begin_alike(
    sizes: list[tuple[int, int]], window: int, kept: int, drift: list[float]
) -> None:
    """The cut moves rarely and far, though the history loses its front and the ratio drifts.

    Between two cuts new turns fill a good part of the budget: a third of it, less what one turn
    more or less makes.
    """
    history: Messages = []
    precedent: Precedent | None = None
    filled, dropped, cut_at, last = 0.0, 0, None, None
    for number, (asks, answers) in enumerate(sizes):
        budget = TokenBudget.of(window, 200, ratio=drift[number % len(drift)])
        question = {"role": "user", "content": "q" * asks, "number": number}
        fitting = fit(HEAD, history, [question], budget, precedent=precedent)
        on_start = history[fitting.first]["number"] if fitting.first < len(history) else number
        if last is not None and on_start != last and dropped == 0:
            if cut_at is not None:
                assert filled >= budget.prompt_tokens * (FULL - TRIMMED) * 0.6 - 400
            cut_at, filled = number, 0.0
        last = on_start
        answer = {"role": "assistant", "content": "a" * answers, "number": number}
        filled += estimated(question) + estimated(answer)
        first, end = fitting.first, len(history) + 1
        history += [question, answer]
        dropped = max(0, len(history) - kept)
        history = history[dropped:]
        precedent = Precedent(first - dropped, end - dropped)


def test_a_cut_holds_until_the_room_is_full_again() -> None:
    """The very sequence: all is shown, then 60 %, then from the same message on."""
    history: Messages = []
    precedent, firsts = None, []
    for number in range(60):
        question = {"role": "user", "content": f"{number:4}" * 25}
        fitting = fit([], history, [question], TokenBudget.of(2048, 512), precedent=precedent)
        firsts.append(fitting.first)
        precedent = Precedent(fitting.first, len(history) + 1)
        history += [question, {"role": "assistant", "content": "a" * 100}]
    moves = sorted(set(firsts))
    assert firsts == sorted(firsts)
    assert len(moves) <= 8
    assert all(later - earlier >= 10 for earlier, later in pairwise(moves))


def test_a_wider_window_than_before_shows_the_old_turns_again() -> None:
    """The cut of a small model does not bind a large one."""
    history: Messages = [
        {"role": role, "content": "x" * 400} for _ in range(40) for role in ("user", "assistant")
    ]
    narrow = fit(HEAD, history, ASKED, TokenBudget.of(2048, 512))
    precedent = Precedent(narrow.first, len(history) - 1)
    assert narrow.first > 0
    assert fit(HEAD, history, ASKED, TokenBudget.of(65_536, 512), precedent=precedent).first == 0


def test_the_count_of_the_last_prompt_puts_the_estimate_right() -> None:
    """A session in a script that the model cuts finely is cut earlier than others."""
    history: Messages = [
        {"role": role, "content": "x" * 400} for _ in range(10) for role in ("user", "assistant")
    ]
    asked_tokens = round(fit(HEAD, history[:-2], [history[-2]], UNLIMITED).plain_tokens)
    budget = TokenBudget.of(8192, 512, ratio=1.0)
    dense = fit(HEAD, history, ASKED, budget, precedent=Precedent(0, 19, 5 * asked_tokens))
    assert dense.ratio == pytest.approx(5, rel=0.01)
    assert dense.first > fit(HEAD, history, ASKED, budget).first == 0
    gone = fit(HEAD, history, ASKED, budget, precedent=Precedent(-2, 19, 5 * asked_tokens))
    assert gone.ratio == 1.0
    measured = TokenBudget(8192, 512, 2.0, is_measured=True)
    again = fit(HEAD, history, ASKED, measured, precedent=Precedent(0, 19, 5 * asked_tokens))
    assert again.ratio == 2.0


def test_a_message_that_cannot_fit_is_refused_with_both_numbers() -> None:
    """Before any call, and not for a window that is only assumed."""
    long: Messages = [{"role": "user", "content": "x" * 8000}]
    with pytest.raises(ContextOverflowError, match=r"2\d\d\d tokens, but a window of 1024"):
        fit(HEAD, [], long, TokenBudget.of(1024, 100))
    assert fit(HEAD, ASKED, long, TokenBudget.of(1024, 100, is_known=False)).first == 1


def test_a_long_message_leaves_the_reply_less_room() -> None:
    """It is not refused because the reply could have been longer."""
    long: Messages = [{"role": "user", "content": "x" * 3000}]
    budget = TokenBudget.of(1024, 1_000_000)
    assert budget.prompt_tokens < 750 < budget.message_tokens
    assert fit([], ASKED, long, budget).first == 1


def test_one_long_turn_is_better_than_none() -> None:
    """A turn of more than 60 % of the budget is shown where nothing else is."""
    history: Messages = [
        {"role": "user", "content": "x" * 1200},
        {"role": "user", "content": "x" * 2600},
    ]
    assert fit([], history, ASKED, TokenBudget.of(1024, 64)).first == 1


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The tariff schedule and the transit guarantees are still open.", 11, 20),
        ("Le réseau électrique de l’Afrique de l’Ouest est interconnecté.", 12, 26),
        ("Электрическая сеть Западной Африки объединена.", 10, 32),
        ("شبكة الكهرباء في غرب أفريقيا مترابطة", 9, 30),
        ("西非电网是相互连接的。", 6, 14),
        ("🙂🙂🙂🙂", 4, 12),
    ],
)
def test_the_estimate_is_near_for_many_scripts(text: str, least: int, most: int) -> None:
    """Bounds from what the tokenizers of Qwen and Llama make of such text, and rather above."""
    assert least <= estimated({"role": "user", "content": text}) - 5 <= most


def test_images_thinking_and_tools_count() -> None:
    """An image 768 tokens, as Ollama reckons; the rest as text."""
    plain: dict[str, object] = {"role": "user", "content": "see"}
    assert estimated({**plain, "images": ["aGk=", "aGk="]}) == estimated(plain) + 1536
    assert estimated({**plain, "thinking": "x" * 40}) == estimated(plain) + 10
    call = [{"function": {"name": "f", "arguments": {"a": "x" * 100}}}]
    assert estimated({**plain, "tool_calls": call}) > estimated(plain) + 25
    assert estimated({"role": "user", "content": None}) > 0
    assert estimated({"role": "user", "content": "\ud800"}) > 0


def test_turns_begin_at_questions_and_at_notes_between_turns() -> None:
    """Tool calls and their results belong to the turn; a note within a turn does not part it."""
    roles = ["tool", "assistant", "system", "user", "system", "assistant", "tool", "assistant"]
    history = [{"role": role} for role in [*roles, "user", "user", "assistant", "system"]]
    assert turn_starts(history) == [2, 3, 8, 9, 11]


def test_a_reply_has_what_the_window_has_left() -> None:
    """Less the margin for the estimate, and never nothing; unknown windows bound nothing."""
    budget = TokenBudget.of(4096, None)
    assert budget.left_after(1000) == 4096 - 128 - 1000
    assert budget.left_after(5000) == 1
    assert replace(budget, is_known=False).left_after(1000) is None
    assert replace(budget, may_shift=False).left_after(1000) is None


def picture(images: int = 1) -> dict[str, object]:
    """A message with images."""
    return {"role": "user", "content": "x" * 400, "images": ["aGk="] * images}


def test_what_a_model_counts_for_an_image_is_not_multiplied_by_the_ratio_of_its_words() -> None:
    """An image costs the same beside any words."""
    budget = replace(TokenBudget.of(20_000, 100, ratio=2.0), image_tokens=1500)
    without = fit([], [], [{"role": "user", "content": "x" * 400}], budget)
    fitting = fit([], [], [picture(2)], budget)
    assert fitting.estimated_tokens - without.estimated_tokens == 3000
    assert (fitting.images, fitting.text_tokens) == (2, without.plain_tokens)
    again = fitting.of([picture()])
    assert (again.images, again.estimated_tokens) == (1, without.estimated_tokens + 1500)


def test_a_refusal_for_the_sake_of_images_is_none_of_the_words() -> None:
    """The second try reckons with longer images, and with the same words."""
    budget = TokenBudget.of(4096, 100)
    fitting = fit([], [], [picture(3)], budget)
    second = measured(budget, fitting, 6000)
    assert (second.ratio, second.is_measured) == (1.0, True)
    assert second.image_tokens == pytest.approx((6000 - fitting.text_tokens) / 3 * OVERFLOW_MARGIN)


def test_a_session_with_images_teaches_what_its_words_cost() -> None:
    """The images are taken from the count of its last prompt first."""
    history = [picture(), {"role": "assistant", "content": "y" * 400}]
    text_tokens = sum(estimated(one, 0.0) for one in history) + PROMPT_TOKENS
    counted = round(768 + 1.5 * text_tokens)
    precedent = Precedent(0, 2, counted)
    assert fit([], history, ASKED, TokenBudget.of(8192, 100), precedent=precedent).ratio == (
        pytest.approx(1.5, abs=0.02)
    )
