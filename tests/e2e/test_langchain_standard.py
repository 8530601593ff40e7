"""LangChain's own standard tests of a chat model, on ChatOllama with the stand-in for Ollama.

Those that fetch pictures, sounds or documents from the internet are declared unsupported; pictures
of our own are in test_ollama_clients.py.
"""

from collections.abc import Iterator

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_ollama import ChatOllama
from langchain_tests.integration_tests.chat_models import ChatModelIntegrationTests

from sandbox.ollama import OllamaStandIn


@pytest.fixture(scope="module")
def stand_in() -> Iterator[OllamaStandIn]:
    """One stand-in for this module."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def benchmark() -> None:
    """A test of the suite measures, on a recording that there is none of."""
    pytest.skip("measures with a plugin that is not installed")


class TestChatOllama(ChatModelIntegrationTests):
    """A model that calls the first tool it is offered once, and answers then."""

    base_url = ""

    @pytest.fixture(autouse=True)
    def _served(self, stand_in: OllamaStandIn) -> Iterator[None]:
        stand_in.reset()
        self.base_url = stand_in.url
        yield
        refused = [call.status for call in stand_in.calls if call.outcome == "refused"]
        assert refused == []

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOllama

    @property
    def chat_model_params(self) -> dict[str, object]:
        # ChatOllama has no way to close its connections, so the server does.
        options = {"trust_env": False, "headers": {"Connection": "close"}}
        return {"model": "tools", "base_url": self.base_url, "client_kwargs": options}

    @property
    def has_tool_choice(self) -> bool:
        """Ollama ignores it."""
        return False

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "ok"

    # Not run: for the traceback of an xfail pytest parses sources, which CPython 3.11 answers now
    # and then with SystemError (pytest-dev/pytest#10763), and that ended whole runs.
    @pytest.mark.xfail(run=False, reason="wants the keys that its question names: a real model")
    def test_json_mode(self, model: BaseChatModel) -> None:
        """The stand-in has one key for any question."""
        super().test_json_mode(model)
