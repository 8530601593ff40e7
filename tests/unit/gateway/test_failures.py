"""What strangers read of a failure."""

import pytest

from gateway.failures import UNKNOWN, failure_for
from llm.errors import ContextOverflowError
from llm.wire.error_map import cannot

ADDRESS = "http://10.1.2.3:11434"


@pytest.mark.parametrize(
    "reason",
    [
        f"Ollama at {ADDRESS} failed: out of memory",
        f"model 'm' is not installed at {ADDRESS}: run `ollama pull m`",
        f"the reply of Ollama at {ADDRESS} ended without `done: true`: it is incomplete",
        None,
    ],
)
def test_no_address_is_told(reason: str | None) -> None:
    """Nor anything else of a reason that is not known."""
    assert failure_for(reason) == UNKNOWN


def test_what_the_client_can_mend_is_told_by_its_kind() -> None:
    """In the words of one who does not know the servers."""
    overflow = ContextOverflowError("the prompt is longer than the model's window: shorten it")
    assert failure_for(str(overflow)).code == "invalid_prompt"
    assert "context window" in failure_for(str(overflow)).message
    assert failure_for("functions: the agent has a tool 'x' of its own").code == "invalid_prompt"


def test_what_a_model_cannot_is_told() -> None:
    """In words that hold no setting and no command."""
    assert failure_for(str(cannot("m", "tools"))).message == "The model cannot call tools."
