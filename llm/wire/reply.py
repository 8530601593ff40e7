"""Reading one reply: bytes in, deltas out, and at its end either a Final or the error. No I/O."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from llm.errors import LLMError, OllamaFailedError, RepetitionError, StreamCutError
from llm.wire.address import label_of
from llm.wire.error_map import error_line
from llm.wire.ndjson import NDJSONDecoder
from llm.wire.records import Delta, Final, delta_of, final_of
from llm.wire.requests import ChatRequest
from llm.wire.think_tags import ThinkTags

MOST_EQUAL_PIECES = 30
"""Ollama ends a reply, silently, after more equal pieces in a row (docs/ollama.md, Records)."""


class ReplyReader:
    """The reply to one request; knows "ended" (`done: true` was read) from "cut".

    Both clients feed it, so what counts as a whole answer is decided once.
    """

    def __init__(self, request: ChatRequest, base_url: str, max_bytes: int) -> None:
        self._expects_answer = request.expects_answer
        self._has_format = request.format is not None
        self._model = request.model
        self._base_url, self._server = base_url, label_of(base_url)
        self._tags = ThinkTags() if request.reads_think_tags else None
        self._decoder = NDJSONDecoder(max_bytes=max_bytes)
        self._final: Final | None = None
        self._error: LLMError | None = None
        self._last: deque[Delta] = deque(maxlen=MOST_EQUAL_PIECES)
        self._pieces = 0
        self._thinking_pieces = 0

    @property
    def is_done(self) -> bool:
        """True once `done: true` or an error has been read: nothing that follows matters."""
        return self._final is not None or self._error is not None

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas of a chunk. What an error line in it means is raised by `final`."""
        return [] if self.is_done else self._told(self._read(self._decoder.feed(chunk)))

    def finish(self) -> list[Delta]:
        """The same for what follows the last newline, at a clean end of the bytes."""
        return [] if self.is_done else self._told(self._read(self._decoder.finish()))

    def _told(self, deltas: list[Delta]) -> list[Delta]:
        """The deltas, with thoughts that are written into the text taken out of it."""
        if self._tags is None:
            return deltas
        told = [*filter(None, map(self._tags.read, deltas))]
        if self._final is not None and (rest := self._tags.rest()):
            told.append(rest)
        return told

    def final(self) -> Final:
        """The end of the reply; raises what an error line means, and RepetitionError or
        StreamCutError if the bytes ended without an end.

        Ollama ends some failed streams tidily, with neither `done: true` nor an error line.
        """
        if self._error is not None:
            raise self._error
        if self._final is None:
            raise self._cut()
        return self._final

    def _cut(self) -> LLMError:
        # As Ollama counts: what is white space is equal (llm/llama_server.go).
        last = [(delta.text or delta.thinking).strip() for delta in self._last]
        if len(last) == MOST_EQUAL_PIECES and len(set(last)) == 1:
            return RepetitionError(
                f"Ollama at {self._base_url} ended the reply because {self._model} repeated "
                f"the same piece more than {MOST_EQUAL_PIECES} times: do not ask for long "
                "repetitions, or raise the temperature or repeat_penalty"
            )
        return StreamCutError(
            f"the reply of Ollama at {self._base_url} ended without `done: true`: it is incomplete"
        )

    def _read(self, records: list[dict[str, object]]) -> list[Delta]:
        deltas: list[Delta] = []
        for record in records:
            if (error := record.get("error")) is not None:
                # Not raised here: what stands before it in the chunk was said.
                self._error = error_line(error, model=self._model, base_url=self._base_url)
                break
            # Before the end is looked at: the final record may hold text, and all calls of tools
            # (docs/ollama.md, Records).
            delta = delta_of(record)
            if delta.text or delta:
                deltas.append(delta)
            if record.get("done") and (final := final_of(record, server=self._server)):
                self._count(deltas)
                self._end(final)
                return deltas
        self._count(deltas)
        return deltas

    def _count(self, deltas: Sequence[Delta]) -> None:
        self._last.extend(deltas)
        self._pieces += len(deltas)
        self._thinking_pieces += sum([bool(delta.thinking) for delta in deltas])

    def _end(self, final: Final) -> None:
        # It looks whole, with `done: true`, and has no word in it (docs/ollama.md, Records).
        if self._expects_answer and final.done_reason in ("load", "unload"):
            self._error = OllamaFailedError(
                f"Ollama at {self._base_url} only loaded the model and gave no answer"
            )
        self._final = self._with_thinking(final)

    def _with_thinking(self, final: Final) -> Final:
        # With `format` the rendered path lets the model think in a run of its own, and the counts
        # are the second run's (docs/ollama.md, Records). Counts that include the thinking are
        # never less than the pieces, for a piece has a token at least.
        is_counted = final.completion_tokens >= self._pieces
        if not self._has_format or not self._thinking_pieces or is_counted:
            return final
        tokens = final.completion_tokens + self._thinking_pieces
        return replace(final, completion_tokens=tokens, is_second_run=True)
