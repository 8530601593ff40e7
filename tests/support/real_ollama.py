"""A real Ollama for the tests that are marked `model`: `TESTS_MODEL=1 pytest -m model`.

It is the one of `../shared/ollama`, which makes small models of its own (gemma, strict, tools,
thinking); `TESTS_MODEL_FOLDER` keeps them. Without one these tests are skipped.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sandbox.ports import free_port
from tests.support.source_tree import ROOT
from tests.support.waiting import wait_until

START = ROOT.parent / "shared" / "ollama" / "start"
MADE_WITHIN_S = 900.0

_LOADED = 'msg="loaded runners"'


@dataclass(frozen=True, slots=True)
class RealOllama:
    """A server that runs, and its log."""

    url: str
    log: Path

    @property
    def loads(self) -> int:
        """How often it has loaded a model."""
        return self.log.read_text(errors="replace").count(_LOADED)


@pytest.fixture(scope="session")
def real_ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOllama]:
    """One for the session."""
    if not os.environ.get("TESTS_MODEL"):
        pytest.skip("TESTS_MODEL=1 runs the tests with a real Ollama")
    if not START.exists():
        pytest.skip(f"no real Ollama lies in {START.parent}")
    port, log = free_port(), tmp_path_factory.mktemp("ollama") / "log"
    folder = os.environ.get("TESTS_MODEL_FOLDER")
    with log.open("wb") as written:
        server = subprocess.Popen(
            [START, str(port), *([folder] if folder else [])], stdout=written, stderr=written
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), timeout_s=MADE_WITHIN_S, what="a real Ollama")
        yield RealOllama(url, log)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/version", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
