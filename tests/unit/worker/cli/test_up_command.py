"""What `griot up` says of an Ollama that cannot answer, without starting anything."""

import re
from contextlib import ExitStack
from importlib import import_module

import pytest

from llm import LLMSettings

MODULE = import_module("worker.cli.up")
"""Not `worker.cli.up`, which is the command that has its name."""


@pytest.mark.parametrize(
    ("trouble", "other", "said"),
    [
        ("no Ollama answers at x", "", "jobs wait until it is back, .*; start it with `ollama se"),
        ("no Ollama answers at x", "write http:// in OLLAMA_BASE_URL", "; write http:// in OLLAMA"),
        ("the Ollama at x has no model m", "", "become dead letters until you run `ollama pull m`"),
    ],
)
def test_up_says_of_each_trouble_with_ollama_what_helps(
    trouble: str, other: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No echo takes the place of an address with TLS, which it does not speak."""
    monkeypatch.setattr(MODULE, "ollama_trouble", lambda _: trouble)
    monkeypatch.setattr(MODULE, "advice_on_other", lambda *_: other)
    settings = LLMSettings(_env_file=None, base_url="https://localhost:11434", model="m")
    line, echo = MODULE._want_ollama(settings, ExitStack(), has_sandbox=True)
    assert echo is None
    assert re.search(said, line)
