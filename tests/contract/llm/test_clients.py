"""One contract for both clients, the asynchronous and the synchronous, against the stand-in."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from itertools import pairwise
from typing import Protocol

import pytest

from llm import (
    AccessDeniedError,
    ChatRequest,
    ContextOverflowError,
    Delta,
    Final,
    FirstTokenTimeoutError,
    IdleTimeoutError,
    InvalidRequestError,
    LLMError,
    LLMService,
    LLMSettings,
    LLMTimeoutError,
    ModelNotFoundError,
    ModelReply,
    OllamaBusyError,
    OllamaClient,
    OllamaFailedError,
    OllamaUnreachableError,
    QuotaExceededError,
    RequestRejectedError,
    ResponseTooLargeError,
    StreamCutError,
    TotalTimeoutError,
    UnsupportedError,
)
from llm.wire.records import joined
from sandbox.ollama import OllamaStandIn, pieces, reply_to
from sandbox.ollama.reply.records import Profile
from tests.support.machine import scaled
from tests.support.waiting import wait_until

MESSAGES = ({"role": "user", "content": "Tell me of the kora, please."},)
Records = list[Delta | Final]


class Asker(Protocol):
    """One way to make a call; what was read before an error is left in `seen`."""

    def __call__(
        self, settings: LLMSettings, request: ChatRequest, seen: Records | None = None
    ) -> Records: ...


def ask_async(settings: LLMSettings, request: ChatRequest, seen: Records | None = None) -> Records:
    records: Records = [] if seen is None else seen

    async def read() -> None:
        async with (
            OllamaClient.from_settings(settings, max_connections=2) as client,
            aclosing(client.stream(request)) as stream,
        ):
            async for record in stream:
                records.append(record)

    asyncio.run(read())
    return records


def ask_sync(settings: LLMSettings, request: ChatRequest, seen: Records | None = None) -> Records:
    records: Records = [] if seen is None else seen
    with LLMService(settings) as service, closing(service.stream(request)) as stream:
        for record in stream:
            records.append(record)
    return records


@pytest.fixture(params=[ask_async, ask_sync], ids=["async", "sync"])
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.param
    return asker


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def ollama(standin: OllamaStandIn) -> Iterator[OllamaStandIn]:
    """After each test the server must have no request open: no client leaves one behind."""
    standin.reset()
    yield standin
    wait_until(lambda: standin.stats.active == 0, timeout_s=5, what="no open request")


def settings_for(url: str, **more: object) -> LLMSettings:
    return LLMSettings(_env_file=None, base_url=url, **more)  # type: ignore[arg-type]  # by field


def chat(model: str, **more: object) -> ChatRequest:
    return ChatRequest(model=model, messages=MESSAGES, **more)  # type: ignore[arg-type]  # by field


def reply_of(ask: Asker, url: str, request: ChatRequest, **settings: object) -> ModelReply:
    return joined(ask(settings_for(url, **settings), request))


@pytest.mark.parametrize("model", ["ok", "instant", "split-chars", "merged-lines", "blank-lines"])
def test_a_reply_is_the_same_however_its_bytes_are_laid_out(
    ask: Asker, ollama: OllamaStandIn, model: str
) -> None:
    """One line per chunk, all in one, parted within a character: the text is the text."""
    records = ask(settings_for(ollama.url), chat(model))
    assert [type(record) for record in records[-2:]] == [Delta, Final]
    reply = joined(records)
    assert reply.text == reply_to(list(MESSAGES))
    assert (reply.final.model, reply.final.done_reason) == (model, "stop")
    assert reply.final.prompt_tokens > 0
    assert reply.final.completion_tokens == len(pieces(reply.text))
    assert reply.final.total_ms is not None


def test_deltas_are_the_pieces_that_the_model_produced(ask: Asker, ollama: OllamaStandIn) -> None:
    """One delta per line, none lost, none empty."""
    records = ask(settings_for(ollama.url), chat("ok"))
    texts = [record.text for record in records if isinstance(record, Delta)]
    assert texts == list(pieces(reply_to(list(MESSAGES))))


def test_a_raw_next_line_character_comes_through(ask: Asker, ollama: OllamaStandIn) -> None:
    """Line-splitting clients break on it."""
    assert "\x85" in reply_of(ask, ollama.url, chat("next-line")).text


def test_a_very_long_last_line_is_read(ask: Asker, ollama: OllamaStandIn) -> None:
    """One megabyte in the final record."""
    assert reply_of(ask, ollama.url, chat("big-last")).final.done_reason == "stop"


def test_thinking_comes_apart_from_the_text(ask: Asker, ollama: OllamaStandIn) -> None:
    """And before it."""
    reply = reply_of(ask, ollama.url, chat("think"))
    assert reply.thinking
    assert reply.text == reply_to(list(MESSAGES))


@pytest.mark.parametrize("model", ["tools", "tools-early"])
def test_tool_calls_are_read_wherever_they_come(
    ask: Asker, ollama: OllamaStandIn, model: str
) -> None:
    """In the final record or before it."""
    tool = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    reply = reply_of(ask, ollama.url, chat(model, tools=(tool,)))
    assert [call.name for call in reply.tool_calls] == ["weather"]


def test_what_is_sent_is_what_was_asked(ask: Asker, ollama: OllamaStandIn) -> None:
    """Model, messages and options arrive as given."""
    ask(settings_for(ollama.url), chat("ok", temperature=0.1, max_tokens=50))
    (call,) = ollama.calls
    assert (call.model, call.path, call.stream) == ("ok", "/api/chat", True)
    assert [dict(message)["content"] for message in call.messages] == [MESSAGES[0]["content"]]
    assert call.options == {"temperature": 0.1, "num_predict": 50}


def test_a_model_is_loaded_by_a_request_without_messages(ask: Asker, ollama: OllamaStandIn) -> None:
    """Its reply is a single JSON body without a newline."""
    assert reply_of(ask, ollama.url, ChatRequest(model="ok")).final.done_reason == "load"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("missing", ModelNotFoundError),
        ("bad-400", RequestRejectedError),
        ("embedder", UnsupportedError),
        ("overflow-400", ContextOverflowError),
        ("unsigned-401", AccessDeniedError),
        ("disabled-403", AccessDeniedError),
        ("quota-429", QuotaExceededError),
        ("gone-500", OllamaFailedError),
        ("load-500", OllamaFailedError),
        ("exit-500", OllamaFailedError),
        ("late-500", OllamaFailedError),
        ("gpu-500", OllamaFailedError),
        ("binary-500", OllamaFailedError),
        ("old-500", OllamaFailedError),
        ("odd-500", OllamaFailedError),
        ("slots-500", OllamaFailedError),
        ("option-500", InvalidRequestError),
        ("unreachable-502", OllamaFailedError),
        ("busy-503", OllamaBusyError),
        ("overloaded-503", OllamaBusyError),
        ("window:ctx2", ContextOverflowError),
        ("rendered:ctx2", ContextOverflowError),
        ("error-line", OllamaFailedError),
        ("error-line:0", OllamaFailedError),
        ("bad-call", OllamaFailedError),
        ("no-done", StreamCutError),
        ("cut", StreamCutError),
        ("reset", StreamCutError),
        ("close", OllamaUnreachableError),
    ],
)
def test_each_failure_of_ollama_is_an_error_of_its_kind(
    ask: Asker, ollama: OllamaStandIn, model: str, kind: type[LLMError]
) -> None:
    """And of no other, after one call; the prompt is not in its message.

    Rows of Ollama's errors that no request of ours meets: an empty or malformed body and a name
    that is no model's are refused before the call, `top_logprobs` and `/api/generate` are never
    asked for, 499 is in Ollama's log alone, and what comes without a stream (`done: false`, the
    zero object) is in test_wire.py.
    """
    with pytest.raises(LLMError) as caught:
        ask(settings_for(ollama.url), chat(model))
    assert type(caught.value) is kind
    assert "kora" not in str(caught.value)
    # The service without a queue loads the model first, and that may be what fails.
    assert max(ollama.stats.requests, ollama.stats.load_requests) == 1


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (
            chat("no-tools", tools=({"type": "function", "function": {"name": "f"}},)),
            UnsupportedError,
        ),
        (chat("ok", think=True), UnsupportedError),
        (chat("ok", think="hardly"), RequestRejectedError),
        (chat("ok", keep_alive="300"), RequestRejectedError),
        (chat("ok", keep_alive=True), RequestRejectedError),
        (chat("ok", format="yaml"), InvalidRequestError),
        (chat("ok", options={"top_k": "many"}), InvalidRequestError),
        (chat("ok", options={"stop": 7}), InvalidRequestError),
    ],
    ids=[
        "tools",
        "thinking",
        "think level",
        "keep_alive",
        "keep_alive's type",
        "format",
        "option",
        "stop",
    ],
)
def test_each_refusal_of_what_a_request_holds_is_an_error_of_its_kind(
    ask: Asker, ollama: OllamaStandIn, request_: ChatRequest, kind: type[LLMError]
) -> None:
    """Found by Ollama, after one call, and never worth another."""
    with pytest.raises(LLMError) as caught:
        ask(settings_for(ollama.url), request_)
    assert type(caught.value) is kind
    assert ollama.stats.requests == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("load-500", "out-of-memory"),
        ("exit-500", "exit status 2"),
        ("late-500", "timed out waiting"),
        ("gpu-500", "full model on GPU"),
        ("binary-500", "error starting llama-server"),
        ("old-500", "incompatible with your version"),
        ("odd-500", "unexpected server status"),
        ("slots-500", "no slots available"),
        ("bad-call", "invalid tool call arguments"),
    ],
)
def test_why_ollama_failed_is_in_the_message(
    ask: Asker, ollama: OllamaStandIn, model: str, reason: str
) -> None:
    """An operator need not look for it in Ollama's log."""
    with pytest.raises(OllamaFailedError, match=reason):
        ask(settings_for(ollama.url), chat(model))


@pytest.mark.parametrize("profile", ["0.33", "0.40"])
def test_gos_escapes_and_either_shape_of_records_are_read(ask: Asker, profile: Profile) -> None:
    """Text comes as it was said, and members that we do not know pass."""
    messages = ({"role": "user", "content": "Is <a> & b \u2028 it?"},)
    with OllamaStandIn(profile=profile) as server:
        reply = reply_of(ask, server.url, ChatRequest(model="ok", messages=messages))
    assert reply.text == reply_to(list(messages))


def test_a_reply_with_a_format_is_one_reply(ask: Asker, ollama: OllamaStandIn) -> None:
    """A schema goes out as it is, and what fits it comes back in pieces."""
    schema = {"type": "object", "properties": {"said": {"type": "string"}}}
    reply = reply_of(ask, ollama.url, chat("ok", format=schema))
    assert json.loads(reply.text) == {"said": reply_to(list(MESSAGES))}


def test_a_server_restarted_in_mid_reply_cuts_it(ask: Asker) -> None:
    """With one call; what was read is seen, and the server is found again."""
    seen: Records = []
    with OllamaStandIn() as server, ThreadPoolExecutor() as threads:
        settings = settings_for(server.url)
        cut = threads.submit(ask, settings, chat("slow-tokens:1000x5ms"), seen)
        wait_until(lambda: len(seen) > 0, what="the first token")
        server.stop()
        with pytest.raises(StreamCutError):
            cut.result(timeout=scaled(5))
        assert server.stats.requests == 1
        server.start()
        assert joined(ask(settings, chat("ok"))).text == reply_to(list(MESSAGES))


def test_a_prompt_over_the_window_comes_with_both_counts(ask: Asker, ollama: OllamaStandIn) -> None:
    """With them the prompt can be shortened and sent again."""
    long = ({"role": "user", "content": "word " * 500},)
    with pytest.raises(ContextOverflowError) as caught:
        ask(settings_for(ollama.url), ChatRequest(model="window:ctx100", messages=long))
    assert caught.value.n_ctx == 100
    assert caught.value.n_prompt_tokens is not None
    assert caught.value.n_prompt_tokens > 100


@pytest.mark.parametrize("model", ["error-line", "no-done", "cut", "stall"])
def test_what_came_before_a_failure_is_seen(ask: Asker, ollama: OllamaStandIn, model: str) -> None:
    """Deltas are handed on as they come, not held back for the end; a Final never comes."""
    seen: Records = []
    limits = {"idle_timeout_s": scaled(0.3), "total_timeout_s": scaled(2)}
    with pytest.raises(LLMError):
        ask(settings_for(ollama.url, **limits), chat(model), seen)
    assert [type(record) for record in seen] == [Delta, Delta, Delta]


def test_no_byte_in_time_is_a_first_token_timeout(ollama: OllamaStandIn) -> None:
    """And the connection is closed, so that Ollama drops the request.

    The asynchronous client looks for a sign of life first (test_warmup.py); a blocking read of the
    synchronous service cannot.
    """
    with pytest.raises(FirstTokenTimeoutError, match=r"0\.2 s"):
        ask_sync(settings_for(ollama.url, first_token_timeout_s=0.2), chat("hang"))
    wait_until(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")


def test_silence_in_mid_reply_is_an_idle_timeout(ollama: OllamaStandIn) -> None:
    """Long before the limit for the first token."""
    with pytest.raises(IdleTimeoutError, match=r"0\.2 s"):
        ask_sync(settings_for(ollama.url, idle_timeout_s=0.2), chat("stall"))
    wait_until(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")


@pytest.mark.parametrize("model", ["hang", "stall"])
def test_silence_has_an_end_for_both(ask: Asker, ollama: OllamaStandIn, model: str) -> None:
    """A retryable error, however alive the server is, and the connection is closed."""
    limits = {"first_token_timeout_s": 0.2, "idle_timeout_s": 0.2, "total_timeout_s": 0.5}
    with pytest.raises(LLMTimeoutError):
        ask(settings_for(ollama.url, **limits), chat(model))
    wait_until(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")


def test_a_slow_first_token_is_not_silence(ask: Asker, ollama: OllamaStandIn) -> None:
    """The limit between tokens begins with the first."""
    settings = settings_for(ollama.url, idle_timeout_s=scaled(0.3))
    assert joined(ask(settings, chat(f"ok:20-{scaled(0.6)}s"))).text


def test_slow_tokens_are_not_silence(ask: Asker, ollama: OllamaStandIn) -> None:
    """The whole reply may take much longer than the limit between two tokens."""
    settings = settings_for(ollama.url, idle_timeout_s=scaled(0.3))
    assert (
        joined(ask(settings, chat(f"slow-tokens:20x{scaled(0.04)}s"))).final.completion_tokens == 20
    )


def test_a_reply_without_end_is_a_total_timeout(ask: Asker, ollama: OllamaStandIn) -> None:
    """However steadily it flows."""
    with pytest.raises(TotalTimeoutError, match=r"0\.4 s"):
        ask(settings_for(ollama.url, total_timeout_s=0.4), chat("endless"))
    wait_until(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")


def test_a_reply_over_the_limit_in_bytes_is_given_up(ask: Asker, ollama: OllamaStandIn) -> None:
    """The limit is on what is read, whatever the model goes on to say."""
    with pytest.raises(ResponseTooLargeError):
        ask(settings_for(ollama.url, max_response_bytes=5000), chat("endless:x1ms"))
    wait_until(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")


def test_nothing_that_listens_is_unreachable(ask: Asker) -> None:
    """The message says where, and what to look at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(OllamaUnreachableError, match=f"{url} does not answer: is it running"):
            ask(settings_for(url), chat("ok"))


def test_a_reply_whose_bytes_do_not_end_is_there_all_the_same(ask: Asker) -> None:
    """It is whole with its last record: a proxy that holds the connection delays it by a second."""
    records = b'{"message":{"content":"kora"}}\n{"message":{},"done":true,"done_reason":"stop"}\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(records), records)

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
            while connection.recv(65536):  # until the client leaves
                pass

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(answer, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        began_at = time.monotonic()
        # A model that is to go at once is not loaded before.
        request = chat("ok", keep_alive="0s")
        reply = reply_of(ask, url, request, idle_timeout_s=scaled(30))
        assert reply.text == "kora"
        assert time.monotonic() - began_at < scaled(10)
        answered.result(scaled(10))


def test_a_server_that_went_away_is_unreachable_and_found_again(
    ollama: OllamaStandIn,
) -> None:
    """A kept connection that died costs one error, not the client."""
    with OllamaStandIn() as other, LLMService(settings_for(other.url)) as service:
        assert service.chat("hello", model="ok")
        other.stop()
        with pytest.raises(OllamaUnreachableError):
            service.chat("hello", model="ok")
        other.start()
        assert service.chat("hello", model="ok")


async def test_a_reply_that_comes_faster_than_it_is_read_leaves_others_the_loop(
    ollama: OllamaStandIn,
) -> None:
    """What lies in a buffer is never waited for: other turns get their share all the same."""
    records: Records = []
    seen: list[int] = []

    async def look_on() -> None:
        while True:
            seen.append(len(records))
            await asyncio.sleep(0)

    others = asyncio.create_task(look_on())
    async with (
        OllamaClient.from_settings(settings_for(ollama.url), max_connections=2) as client,
        aclosing(client.stream(chat("instant:20000"))) as stream,
    ):
        async for record in stream:
            records.append(record)
    others.cancel()
    assert len(records) == 20_001
    assert max(now - before for before, now in pairwise(seen)) < 500
