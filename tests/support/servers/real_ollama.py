"""A real Ollama for tests: found, started on loopback, stopped again. Its models are made once.

One is found through OLLAMA_BINARY, as `ollama` on the PATH, or in `../shared/ollama` beside the
checkout, which brings models of its own: `rendered` and so on below. A binary from elsewhere has to
have models of the same names (docs/ollama.md, Tests). What marks a test as one of these is `model`:
`make test-model` runs them.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from tests.support.source_tree import ROOT

_BINARY, _MODELS = "TESTS_OLLAMA_BINARY", "TESTS_OLLAMA_MODELS"
USERS_OLLAMA = {_BINARY: "OLLAMA_BINARY", _MODELS: "OLLAMA_MODELS"}
"""Where tests/conftest.py leaves what the user says of an Ollama."""

MODELS = ("gemma", "strict", "tools", "thinking")
"""What the server has to have: a Go template, a strict Jinja template, tools, thinking."""

_SHARED = ROOT.parent / "shared" / "ollama"
_READY_TIMEOUT_S = 600.0
"""The first start makes the models, of some 240 MB."""


class NoOllama(Exception):
    """There is none on this machine, or it lacks the models; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RealOllama:
    """One that runs, and its log."""

    url: str
    process: ServerProcess

    @property
    def loads(self) -> int:
        """How often it has loaded a model, reloads included."""
        return self.process.log_text().count('msg="loaded runners"')


@contextmanager
def real_ollama(**settings: str) -> Iterator[str]:
    """The base URL of one that runs within the block; as `running_ollama`."""
    with running_ollama(**settings) as server:
        yield server.url


@contextmanager
def running_ollama(**settings: str) -> Iterator[RealOllama]:
    """One that runs within the block; `settings` are variables like OLLAMA_NUM_PARALLEL.

    Raises NoOllama.
    """
    port = free_port()
    command = _command(port)
    with tempfile.TemporaryDirectory(prefix="griot-ollama-log-") as logs:
        process = ServerProcess(
            command,
            log_path=Path(logs) / "ollama.log",
            env={**_environment(), "OLLAMA_HOST": f"127.0.0.1:{port}", **settings},
            name="ollama",
        )
        with process:
            url = f"http://127.0.0.1:{port}"
            process.wait_ready(lambda: _lists_models(url), _READY_TIMEOUT_S)
            if missing := set(MODELS) - _models(url):
                raise NoOllama(f"{command[0]} lacks the models {', '.join(sorted(missing))}")
            yield RealOllama(url, process)


def _command(port: int) -> tuple[str, ...]:
    binary = os.environ.get(_BINARY) or shutil.which("ollama")
    if binary:
        return (binary, "serve")
    if (start := _SHARED / "start").exists():
        return (str(start), str(port), str(_cache()))
    raise NoOllama(
        "no real Ollama: name one with OLLAMA_BINARY, put one on the PATH or lay one into "
        "../shared/ollama beside this checkout"
    )


def _environment() -> dict[str, str]:
    models = os.environ.get(_MODELS)
    own = {"OLLAMA_NO_CLOUD": "1", **({"OLLAMA_MODELS": models} if models else {})}
    return {**os.environ, **own}


def _cache() -> Path:
    """Where the models stay between runs, one folder for each user of the machine."""
    return Path(tempfile.gettempdir()) / f"griot-tests-ollama-{os.getuid()}"


def _lists_models(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/tags", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _models(url: str) -> set[str]:
    listed = httpx.get(f"{url}/api/tags", trust_env=False).json()["models"]
    return {model["name"].removesuffix(":latest") for model in listed}
