"""Which failure is tried again, and when."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm import LLMError, PermanentLLMError, RetryableLLMError
from memory import InvalidInput
from tasks.attempt.retry import backoff_s, is_retried, retry_in_s
from tasks.errors import InvalidJob


class Always(random.Random):
    """A die with one face."""

    def __init__(self, face: float) -> None:
        super().__init__()
        self._face = face

    def random(self) -> float:
        return self._face


def leaves(kind: type[LLMError]) -> list[type[LLMError]]:
    """A class of errors and all below it."""
    return [kind, *(leaf for below in kind.__subclasses__() for leaf in leaves(below))]


@pytest.mark.parametrize("kind", leaves(RetryableLLMError))
def test_what_may_pass_is_tried_again(kind: type[LLMError]) -> None:
    """Every failure that llm/errors.py says may pass."""
    assert is_retried(kind("x"))


@pytest.mark.parametrize("kind", leaves(PermanentLLMError))
def test_what_stays_is_not_tried_again(kind: type[LLMError]) -> None:
    """It would only hold the session up."""
    assert not is_retried(kind("x"))


@pytest.mark.parametrize(
    "error", [LLMError("x"), InvalidJob("x"), InvalidInput("x"), ValueError("x"), KeyError("x")]
)
def test_a_fault_of_ours_is_not_tried_again(error: Exception) -> None:
    """It becomes a dead letter at once, so that it is seen."""
    assert not is_retried(error)


def test_every_public_error_of_the_model_is_decided() -> None:
    """No leaf of the tree is left out of these tests."""
    tested = {*leaves(RetryableLLMError), *leaves(PermanentLLMError), LLMError}
    public = {getattr(llm, name) for name in llm.__all__ if name.endswith("Error")}
    assert public <= tested


def test_the_pauses_double_up_to_the_longest() -> None:
    """Full jitter in the upper half: 0.5 to 1 times the doubled base."""

    def pauses(rng: random.Random) -> list[float]:
        attempts = (1, 2, 3, 4, 5, 6)
        return [backoff_s(attempt, base_s=1, max_s=10, rng=rng) for attempt in attempts]

    longest, shortest = pauses(Always(1.0)), pauses(Always(0.0))
    assert longest == [1, 2, 4, 8, 10, 10]
    assert shortest == [pause / 2 for pause in longest]


@given(
    base_s=st.floats(0.01, 600),
    max_s=st.floats(0.01, 3600),
    attempt=st.integers(1, 10_000),
    seed=st.integers(),
)
def test_a_pause_is_neither_nothing_nor_longer_than_allowed(
    base_s: float, max_s: float, attempt: int, seed: int
) -> None:
    """For every attempt, however many there were."""
    delay_s = backoff_s(attempt, base_s=base_s, max_s=max_s, rng=random.Random(seed))
    assert 0.5 * min(base_s, max_s) <= delay_s <= max_s


def test_two_workers_do_not_come_back_at_once() -> None:
    """The pauses differ."""
    assert len({backoff_s(3, base_s=1, max_s=60) for _ in range(20)}) > 10


def test_a_server_that_asks_for_a_longer_pause_gets_it() -> None:
    """Its Retry-After; a shorter one does not shorten the back-off."""
    error = llm.OllamaBusyError("x")
    assert 0.5 <= retry_in_s(error, 1, base_s=1, max_s=60) <= 1
    error.retry_after_s = 30.0
    assert retry_in_s(error, 1, base_s=1, max_s=60) == 30
    error.retry_after_s = 0.1
    assert retry_in_s(error, 1, base_s=1, max_s=60) >= 0.5
    assert retry_in_s(ValueError("x"), 1, base_s=1, max_s=60) >= 0.5
