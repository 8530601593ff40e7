"""Having a server download a model that it lacks, with its progress in the log."""

import logging
from collections.abc import Collection, Mapping
from contextlib import aclosing

import orjson

from llm.errors import ModelNotFoundError, OllamaFailedError, StreamCutError
from llm.http.client import OllamaClient
from llm.wire.models import full_name
from llm.wire.ndjson import NDJSONDecoder
from llm.wire.timeouts import Timeouts

logger = logging.getLogger(__name__)

SILENCE_S = 300.0
"""Longest silence: a large file is verified without a word."""

MAX_LINE_BYTES = 64 * 1024
MAX_FILES = 1000
"""How many files of a model are counted; most have fewer than ten."""

STEP_PERCENT = 10


async def pull(client: OllamaClient, model: str, *, limit_s: float) -> None:
    """Download `model` to the server of `client`; nothing to do where it is there already.

    Raises an LLMError: ModelNotFoundError if no registry has it. What was downloaded before a
    failure is kept by Ollama, and the next try goes on from there.
    """
    limits = Timeouts(first_token_s=SILENCE_S, idle_s=SILENCE_S, total_s=limit_s)
    # No bound for all lines together: nothing of them is kept, and `limit_s` ends them.
    decoder = NDJSONDecoder(max_bytes=None, max_line_bytes=MAX_LINE_BYTES)
    progress = Progress()
    logger.info("%s downloads %s; jobs that need it wait", client.base_url, model)
    asked = orjson.dumps({"model": model, "stream": True})
    async with aclosing(client.read("/api/pull", asked, model=model, timeouts=limits)) as chunks:
        async for chunk in chunks:
            for record in decoder.feed(chunk):
                _check(record, client.base_url, model)
                if record.get("status") == "success":
                    logger.info("%s has downloaded %s", client.base_url, model)
                    return
                if (percent := progress.note(record)) is not None:
                    logger.info("%s has downloaded %d %% of %s", client.base_url, percent, model)
    # A whole pull ends with `success` (docs/ollama.md, Lookups).
    raise StreamCutError(f"Ollama at {client.base_url} stopped the download of {model}")


class Pulls:
    """Which models may be downloaded: those that a job names freely are not among them."""

    # Else whoever may send a job could fill the disks: docs/decisions.md, "Only the models of
    # agents are downloaded".

    def __init__(self, models: Collection[str], *, limit_s: float) -> None:
        self._names = frozenset(map(full_name, models))
        self._limit_s = limit_s

    async def into(self, client: OllamaClient, model: str) -> None:
        """Download `model`. Raises an LLMError, ModelNotFoundError if it may not be downloaded."""
        if full_name(model) not in self._names:
            raise ModelNotFoundError(
                f"model '{model}' is not installed at {client.base_url}, and only models of "
                f"agents are downloaded: run `ollama pull {model}`"
            )
        await pull(client, model, limit_s=self._limit_s)


class Progress:
    """How much of a pull is done, over all of its files."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, int]] = {}
        self._logged_percent = 0

    def note(self, record: Mapping[str, object]) -> int | None:
        """The percentage, where it has passed another tenth; else None."""
        done, total = record.get("completed", 0), record.get("total")
        if not isinstance(done, int) or not isinstance(total, int) or total <= 0:
            return None
        digest = str(record.get("digest"))
        if digest not in self._files and len(self._files) >= MAX_FILES:
            return None
        self._files[digest] = done, total
        done = sum(done for done, _ in self._files.values())
        total = sum(total for _, total in self._files.values())
        percent = 100 * done // total // STEP_PERCENT * STEP_PERCENT
        # It may fall: each file that begins adds to the total.
        if percent <= self._logged_percent:
            return None
        self._logged_percent = percent
        return percent


def _check(record: Mapping[str, object], base_url: str, model: str) -> None:
    error = record.get("error")
    if error is None:
        return
    if isinstance(error, str) and "file does not exist" in error:
        raise ModelNotFoundError(
            f"model '{model}' is not installed at {base_url}, and was not found in a registry"
        )
    raise OllamaFailedError(f"Ollama at {base_url} cannot pull {model}: see its log")
