"""Which error a call ends with when several servers have failed it."""

from itertools import permutations

import pytest

from llm import LLMError, ModelNotFoundError, OllamaFailedError, OllamaUnreachableError, Timeouts
from llm.servers.failover import FailoverState


@pytest.mark.parametrize(
    "order",
    [*permutations((ModelNotFoundError("m"), OllamaUnreachableError("u"), OllamaFailedError("f")))],
)
def test_the_outage_of_one_server_hides_no_failure_of_another(order: tuple[LLMError, ...]) -> None:
    """A job that fails at each server that is up is not taken for one that waits for servers."""
    failover = FailoverState(Timeouts())
    for number, error in enumerate(order):
        assert failover.goes_on_after(error, f"http://{number}")
    assert type(failover.end("m", [])) is OllamaFailedError


def test_each_server_has_a_time_of_its_own_at_which_it_was_asked() -> None:
    """What is known of a server from before that excuses no failure at it."""
    failover = FailoverState(Timeouts())
    times = [failover.asked_at]
    failover.ask()
    times.append(failover.asked_at)
    failover.goes_on_after(OllamaUnreachableError("u"), "http://1")
    times.append(failover.asked_at)
    assert times == sorted({*times})
