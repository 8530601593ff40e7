"""The synchronous service: ask a model, get its words."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Self

import httpx
import orjson

from llm.context.blocking_limits import BlockingContextLimits
from llm.context.limits import LOOKUP_TIMEOUT_S
from llm.errors import LLMError, OllamaUnreachableError
from llm.http.blocking import (
    BLOCKING_ERRORS,
    beginning_of,
    http_timeout,
    lost_call,
    read_to_end,
    refusal_of,
    sync_http_client,
)
from llm.http.connection import HEALTH_TIMEOUT_S
from llm.http.dialect import DIALECTS, OLLAMA, OPENAI, Reader
from llm.http.embedding import check_size
from llm.servers.blocking_warmth import BlockingWarmth
from llm.settings import LLMSettings, read_settings
from llm.wire import error_map
from llm.wire.models import Loaded, ModelDetails, read_details
from llm.wire.records import Delta, Final, ModelReply, joined
from llm.wire.requests import ChatRequest, Message
from llm.wire.timeouts import Timeouts


class LLMService:
    """Chats with one Ollama, the first of the settings', from ordinary threads; safe to share.

    Every call returns a whole answer or raises an LLMError. Arguments that are None take the
    settings' value. A call that is repeated asks the model again.
    """

    def __init__(
        self,
        settings: LLMSettings | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = settings or read_settings()
        self.base_url = self.settings.servers[0]
        own = self.settings.at(self.base_url)
        self._dialect = DIALECTS[own.dialect]
        self._http = sync_http_client(self.base_url, transport, headers=own.headers)
        look_up = partial(self.loaded_models, timeout_s=LOOKUP_TIMEOUT_S)
        self.context_limits = BlockingContextLimits(look_up, self._details, own)
        self._warmth = BlockingWarmth(self.base_url, look_up, self._load)

    def chat(
        self,
        prompt: str,
        system_prompt: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        model: str | None = None,
    ) -> str:
        """The model's answer to one message."""
        return self.chat_with_history(
            [{"role": "user", "content": prompt}], system_prompt, temperature, max_tokens, model
        )

    def chat_with_history(
        self,
        messages: Sequence[Message],
        system_prompt: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        model: str | None = None,
    ) -> str:
        """The model's answer to a conversation whose last message is the question."""
        request = self._request(messages, system_prompt, temperature, max_tokens, model)
        return self.complete(request).text

    def stream_chat(
        self,
        prompt: str,
        system_prompt: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        model: str | None = None,
    ) -> Generator[str, None, None]:
        """`chat`, piece by piece. Closing the generator early stops the model."""
        return self.stream_chat_with_history(
            [{"role": "user", "content": prompt}], system_prompt, temperature, max_tokens, model
        )

    def stream_chat_with_history(
        self,
        messages: Sequence[Message],
        system_prompt: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        model: str | None = None,
    ) -> Generator[str, None, None]:
        """`chat_with_history`, piece by piece. Closing the generator early stops the model."""
        request = self._request(messages, system_prompt, temperature, max_tokens, model)
        return _texts(self.stream(request))

    def complete(self, request: ChatRequest) -> ModelReply:
        """The whole reply to a request, with its counts."""
        return joined(list(self.stream(request)))

    def stream(self, request: ChatRequest) -> Generator[Delta | Final, None, None]:
        """Yield the deltas of the reply as they come, then exactly one Final, the last item.

        Closing the generator closes the connection, which stops the model.
        """
        if self._dialect is OLLAMA:
            self._warmth.ensure(request)
        yield from self._answered(request, self.settings.timeouts)
        self._warmth.note_seen(request.model)

    def _load(self, request: ChatRequest) -> None:
        load_s = self.settings.load_timeout_s
        limits = replace(self.settings.timeouts, first_token_s=load_s, total_s=load_s)
        joined(list(self._answered(request, limits)))

    def _answered(
        self, request: ChatRequest, limits: Timeouts
    ) -> Generator[Delta | Final, None, None]:
        dialect = self._dialect
        reader = dialect.reader(request, self.base_url, self.settings.max_response_bytes)
        answer = self._chunks(
            dialect.chat_path, dialect.body(request), request.model, limits, reader
        )
        with closing(answer) as chunks:
            for chunk in chunks:
                yield from reader.feed(chunk)
        yield from reader.finish()
        yield reader.final()

    def embed(
        self, texts: Sequence[str], model: str, dimensions: int | None = None
    ) -> list[list[float]]:
        """A vector for each text, in their order; `dimensions`: of this length, where the model can
        make such. Raises an LLMError."""
        request = self.settings.embed_request(tuple(texts), model=model, dimensions=dimensions)
        dialect, body = self._dialect, bytearray()
        first_s = max(self.settings.first_token_timeout_s, self.settings.load_timeout_s)
        limits = replace(self.settings.timeouts, first_token_s=first_s)
        for chunk in self._chunks(dialect.embed_path, dialect.embed_body(request), model, limits):
            body += chunk
            check_size(len(body), self.settings.max_response_bytes)
        vectors = dialect.read_embedded(bytes(body), request, self.base_url).vectors
        return [vector.tolist() for vector in vectors]

    def health_check(self, *, timeout_s: float = HEALTH_TIMEOUT_S) -> bool:
        """True if Ollama answers in time. Says nothing about a model; never raises an error."""
        try:
            self._lookup(self._dialect.health_path, timeout_s)
        except LLMError:
            return False
        return True

    def installed_models(self) -> tuple[str, ...]:
        """The names of the models that Ollama has, each with its tag. Raises an LLMError."""
        body = self._lookup(self._dialect.installed_path, HEALTH_TIMEOUT_S)
        return self._dialect.read_installed(body, base_url=self.base_url)

    def loaded_models(self, *, timeout_s: float = HEALTH_TIMEOUT_S) -> tuple[Loaded, ...]:
        """The models that Ollama has in memory. Raises an LLMError."""
        body = self._lookup(self._dialect.loaded_path, timeout_s)
        return self._dialect.read_loaded(body, base_url=self.base_url)

    def close(self) -> None:
        """Close all connections. Safe to repeat."""
        self._http.close()

    @property
    def is_closed(self) -> bool:
        """True after `close()`."""
        return self._http.is_closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _details(self, model: str) -> ModelDetails:
        if self._dialect is OPENAI:
            return ModelDetails()
        asked = orjson.dumps({"model": model})
        return read_details(self._lookup("/api/show", LOOKUP_TIMEOUT_S, asked, model))

    def _lookup(
        self, path: str, timeout_s: float, content: bytes | None = None, model: str = ""
    ) -> bytes:
        asked, limits = model or self.settings.model, Timeouts.within(timeout_s)
        return b"".join(self._chunks(path, content, asked, limits))

    def _request(
        self,
        messages: Sequence[Message],
        system_prompt: str | None,
        temperature: float | None,
        max_tokens: int | None,
        model: str | None,
    ) -> ChatRequest:
        head: tuple[Mapping[str, object], ...] = ()
        if system_prompt is not None:
            head = ({"role": "system", "content": system_prompt},)
        asked = (*head, *messages)
        request = self.settings.chat_request(
            asked, model=model, temperature=temperature, max_tokens=max_tokens
        )
        if not request.may_run_past:
            return request
        readable = [one if isinstance(one, Mapping) else {"content": one.decode()} for one in asked]
        left = self.context_limits.left_for(request.model, readable, request.max_tokens)
        bounds = [bound for bound in (request.max_tokens, left) if bound is not None]
        return replace(request, max_tokens=min(bounds, default=None))

    def _chunks(
        self,
        path: str,
        content: bytes | None,
        model: str,
        timeouts: Timeouts,
        reader: Reader | None = None,
    ) -> Generator[bytes, None, None]:
        """The bytes of a reply of status 200, until its `reader` has all; any failure as an
        LLMError.

        A synchronous read cannot be interrupted, so the whole time is looked at between chunks:
        a call may last `idle_s` (or `first_token_s`) longer than `total_s`.
        """
        ends_at_s = time.monotonic() + timeouts.total_s
        response: httpx.Response | None = None
        try:
            response = self._send(path, content, timeouts)
            if response.status_code != 200:
                body = beginning_of(response.iter_raw())
                raise refusal_of(response, body, model=model, base_url=self.base_url)
            raw = response.iter_raw()
            for chunk in raw:
                if time.monotonic() >= ends_at_s:
                    raise error_map.total_timeout(timeouts)
                yield chunk
                if reader is not None and reader.is_done:
                    read_to_end(response, raw)
                    break
        except BLOCKING_ERRORS as exc:
            raise lost_call(
                exc, replying=response is not None, base_url=self.base_url, timeouts=timeouts
            ) from exc
        finally:
            # Closing the connection is the only cancel (docs/ollama.md, Disconnects).
            if response is not None:
                response.close()

    def _send(self, path: str, content: bytes | None, timeouts: Timeouts) -> httpx.Response:
        # httpx would raise a RuntimeError here, which is none of its own errors.
        if self._http.is_closed:
            raise OllamaUnreachableError("this client of Ollama has been closed")
        request = self._http.build_request(
            "GET" if content is None else "POST",
            f"{self.base_url}{path}",
            content=content,
            timeout=http_timeout(timeouts),
        )
        response = self._http.send(request, stream=True)
        # The head has come with the first token: from here on silence is limited by idle_s.
        # httpcore reads this when the body is begun; httpx 0.28 has no public way to say it.
        request.extensions["timeout"]["read"] = timeouts.idle_s
        return response


def _texts(records: Generator[Delta | Final, None, None]) -> Generator[str, None, None]:
    with closing(records) as open_records:
        for record in open_records:
            if isinstance(record, Delta) and record.text:
                yield record.text
