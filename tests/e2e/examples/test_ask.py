"""The example of how to call the API."""

from examples.ask import answer
from sandbox.stack import GriotStack


def test_it_brings_an_answer(stack: GriotStack) -> None:
    """With a worker and a gateway, as its docstring says."""
    stack.worker()
    assert "What is WAPP?" in "".join(answer("What is WAPP?", stack.gateway()[1]))
