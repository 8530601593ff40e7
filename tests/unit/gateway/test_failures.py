"""What strangers read of a failure."""

import pytest

from gateway.failures import UNKNOWN, failure_for
from llm.errors import ContextOverflowError
from llm.wire.error_map import cannot
from tasks.job.failure_code import FailureCode, FunctionClash, code_of

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
    assert failure_for({"error": reason}) == UNKNOWN


def test_what_the_client_can_mend_is_told_by_its_kind() -> None:
    """In the words of one who does not know the servers."""
    overflow = ContextOverflowError("the prompt is longer than the model's window: shorten it")
    told = failure_for({"error": "in any words", "code": code_of(overflow)})
    assert told.code == "invalid_prompt"
    assert "context window" in told.message
    clash = FunctionClash("in any words")
    assert failure_for({"error": str(clash), "code": code_of(clash)}).code == "invalid_prompt"


def test_what_a_model_cannot_is_told() -> None:
    """In words that hold no setting and no command."""
    failed = cannot("m", "tools")
    said = "The model cannot call tools."
    assert failure_for({"error": "in any words", "code": code_of(failed)}).message == said
    assert failure_for({"error": str(failed)}).message == said


def test_each_code_is_told_and_each_is_also_read_from_old_words() -> None:
    """A new code needs its sentence; what was written without codes lies there for a week."""
    assert all(failure_for({"code": code}) != UNKNOWN for code in FailureCode)
    assert failure_for({"code": "of a newer version"}) == UNKNOWN
    old = ContextOverflowError("the prompt is longer than the model's window: shorten it")
    assert failure_for({"error": str(old)}) == failure_for({"code": code_of(old)})
