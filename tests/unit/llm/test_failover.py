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
