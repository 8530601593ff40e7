"""The circuit breaker on a clock of the test's own."""

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm.servers.breaker import FAILURES, MAX_PAUSE_S, PAUSE_S, Breaker, Trial
from tests.support.breaker_states import State, state_of
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock=clock, rng=random.Random(7))


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    for _ in range(times):
        breaker.begin().failed()


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """Not one less."""
    fail(breaker, FAILURES - 1)
    assert (state_of(breaker), breaker.admits) == (State.CLOSED, True)
    fail(breaker, 1)
    assert (state_of(breaker), breaker.admits) == (State.OPEN, False)


def test_a_whole_answer_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    """Only failures in a row count; the first piece of an answer is not yet an answer."""
    fail(breaker, FAILURES - 1)
    breaker.begin().succeeded()
    fail(breaker, FAILURES - 1)
    assert state_of(breaker) is State.CLOSED
    breaker.begin().answered()
    fail(breaker, 1)
    assert state_of(breaker) is State.OPEN


def test_after_a_pause_one_trial_is_admitted_and_no_more(breaker: Breaker, clock: Clock) -> None:
    """The pause is jittered between half and all of its length; then others wait for the trial."""
    fail(breaker)
    assert PAUSE_S / 2 <= breaker.wait_s <= PAUSE_S
    clock.now_s += breaker.wait_s
    assert (state_of(breaker), breaker.admits) == (State.HALF_OPEN, True)
    breaker.begin()
    assert (state_of(breaker), breaker.admits) == (State.HALF_OPEN, False)


def test_a_pause_ends_when_the_server_is_said_to_be_well(breaker: Breaker) -> None:
    """Then one trial may be made; a breaker that is closed stays as it is."""
    breaker.end_pause()
    assert state_of(breaker) is State.CLOSED
    fail(breaker)
    breaker.end_pause()
    assert (state_of(breaker), breaker.admits, breaker.wait_s) == (State.HALF_OPEN, True, 0.0)
    breaker.begin().failed()
    assert state_of(breaker) is State.OPEN


def test_a_trial_that_is_answered_closes_it_at_once(breaker: Breaker, clock: Clock) -> None:
    """Others need not wait for its last token; if it breaks off after all, it opens again."""
    fail(breaker)
    clock.now_s += breaker.wait_s
    trial = breaker.begin()
    trial.answered()
    assert state_of(breaker) is State.CLOSED
    trial.failed()
    assert state_of(breaker) is State.OPEN


def test_each_trial_that_fails_doubles_the_pause_up_to_a_bound(
    breaker: Breaker, clock: Clock
) -> None:
    """And a whole answer brings the first pause back."""
    fail(breaker)
    for doubled in range(1, 12):
        clock.now_s += breaker.wait_s
        breaker.begin().failed()
        longest_s = min(MAX_PAUSE_S, PAUSE_S * 2**doubled)
        assert longest_s / 2 <= breaker.wait_s <= longest_s
    clock.now_s += breaker.wait_s
    breaker.begin().succeeded()
    fail(breaker)
    assert breaker.wait_s <= PAUSE_S


def test_a_trial_that_says_nothing_lets_the_next_one_try(breaker: Breaker, clock: Clock) -> None:
    """Its user cancelled it: that is no failure and no answer."""
    fail(breaker)
    clock.now_s += breaker.wait_s
    breaker.begin().abandoned()
    assert breaker.admits


def test_what_began_before_the_opening_changes_nothing(breaker: Breaker, clock: Clock) -> None:
    """Late failures do not lengthen the pause, late answers do not end it."""
    late = [breaker.begin() for _ in range(4)]
    fail(breaker)
    wait_s = breaker.wait_s
    late[0].failed()
    late[1].answered()
    late[2].succeeded()
    late[3].abandoned()
    assert (state_of(breaker), breaker.wait_s) == (State.OPEN, wait_s)


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin and end in any order, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(clock=self.clock, rng=random.Random(7))
        self.calls: list[Trial] = []
        self.trial: Trial | None = None
        """The call that was admitted while it was not closed, until it says something."""

    @precondition(lambda self: self.breaker.admits)
    @rule()
    def begin(self) -> None:
        was_closed = state_of(self.breaker) is State.CLOSED
        call = self.breaker.begin()
        self.calls.append(call)
        if not was_closed:
            assert self.trial is None, "two trials at once"
            self.trial = call

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000), how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, which: int, how: str) -> None:
        call = self.calls.pop(which % len(self.calls))
        was = state_of(self.breaker)
        getattr(call, how)()
        if call is self.trial:
            self.trial = None
            expected = {"succeeded": State.CLOSED, "failed": State.OPEN}.get(how, State.HALF_OPEN)
            assert state_of(self.breaker) is expected
        elif was is not State.CLOSED:
            assert state_of(self.breaker) is was
        elif how != "failed":
            assert state_of(self.breaker) is State.CLOSED

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @invariant()
    def it_never_stays_shut(self) -> None:
        """Without a trial under way time alone admits the next call."""
        assert 0 <= self.breaker.wait_s <= MAX_PAUSE_S
        if state_of(self.breaker) is State.OPEN:
            assert not self.breaker.admits
        if self.trial is not None:
            assert not self.breaker.admits


TestBreakerMachine = BreakerMachine.TestCase
