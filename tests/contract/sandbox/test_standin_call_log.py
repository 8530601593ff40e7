"""What the stand-in records: calls, counters, disconnects; and what can be scripted."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.ollama import NotServing, OllamaStandIn, UnknownScenario, reply_to
from tests.support.machine import scaled
from tests.support.waiting import wait_until

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def server() -> Iterator[OllamaStandIn]:
    """One stand-in for this module."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def ollama(server: OllamaStandIn) -> OllamaStandIn:
    """The stand-in with nothing recorded and nothing scripted."""
    wait_until(lambda: server.stats.active == 0, what="earlier calls ended")
    server.reset()
    return server


@pytest.fixture(scope="module")
def client(server: OllamaStandIn) -> Iterator[httpx.Client]:
    """A plain HTTP client of it."""
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


def chat(client: httpx.Client, model: str, **fields: object) -> httpx.Response:
    """One chat with MESSAGES."""
    return client.post("/api/chat", json={"model": model, "messages": MESSAGES, **fields})


def leave_after_first_chunk(client: httpx.Client, model: str) -> None:
    """Ask for a stream, read its beginning, close the connection."""
    body = {"model": model, "messages": MESSAGES}
    with client.stream("POST", "/api/chat", json=body) as response:
        next(response.iter_raw())


def test_a_call_is_recorded_with_what_was_sent_and_said(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """The messages, the options, the raw body and the reply."""
    response = chat(client, "ok", options={"seed": 7}, stream=False)
    (call,) = ollama.calls
    assert (call.path, call.model, call.scenario, call.stream) == ("/api/chat", "ok", "ok", False)
    assert (call.messages, call.options) == (tuple(MESSAGES), {"seed": 7})
    assert call.body == response.request.content
    assert (call.outcome, call.status, call.reply) == ("answered", 200, reply_to(MESSAGES))
    assert call.finished_s is not None
    assert call.finished_s >= call.started_s
    assert call.disconnected_s is None


def test_a_call_has_ended_when_its_last_byte_arrives(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """So a test may look at once."""
    for _ in range(20):
        chat(client, "ok:3")
        assert ollama.stats.active == 0
    assert (ollama.stats.requests, ollama.stats.tokens, ollama.stats.peak) == (20, 60, 1)


def test_calls_at_once_are_counted_at_their_peak(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """Eight calls that overlap."""
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(chat, client, "delay:0.3s") for _ in range(8)]
        assert all(answer.result().status_code == 200 for answer in answers)
    assert (ollama.stats.peak, ollama.stats.active) == (8, 0)


def test_a_client_that_leaves_is_noticed_and_the_model_stops(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """Disconnect counted, call ended, no token after it."""
    leave_after_first_chunk(client, "slow-tokens:1000x5ms")
    wait_until(lambda: ollama.stats.disconnects == 1, what="the disconnect")
    wait_until(lambda: ollama.stats.active == 0, what="the end of the call")
    (call,) = ollama.calls
    assert call.outcome == "disconnected"
    assert call.disconnected_s is not None
    assert 0 < call.tokens < 1000
    assert ollama.stats.tokens_after_disconnect == 0


@pytest.mark.parametrize("model", ["hang", "stall:1", "cold:load60s"])
def test_a_client_that_leaves_a_silent_model_is_noticed(
    ollama: OllamaStandIn, client: httpx.Client, model: str
) -> None:
    """Without a byte to write: before the first token, in a stall, during a load."""
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/chat", json={"model": model, "messages": MESSAGES}, timeout=0.2)
    wait_until(lambda: ollama.stats.disconnects == 1, what="the disconnect")
    wait_until(lambda: ollama.stats.active == 0, what="the end of the call")


def test_a_deaf_model_generates_on_and_is_convicted(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """Tokens after the disconnect are counted: the counter can be wrong, so it proves something."""
    leave_after_first_chunk(client, "deaf:20x10ms")
    wait_until(lambda: ollama.stats.disconnects == 1, what="the disconnect")
    wait_until(lambda: ollama.stats.active == 0, what="the end of the generation")
    (call,) = ollama.calls
    assert (call.outcome, call.tokens) == ("disconnected", 20)
    assert 0 < ollama.stats.tokens_after_disconnect == call.tokens_after_disconnect < 20


def test_scripted_failures_come_first_then_all_is_well(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """503 twice, then well; other models are untouched; scripts add up."""
    ollama.script("ok", ["busy-503"])
    ollama.script("ok", ["busy-503", "ok:2"])
    assert chat(client, "other").status_code == 200
    assert [chat(client, "ok").status_code for _ in range(2)] == [503, 503]
    chat(client, "ok")
    assert ollama.calls[-1].tokens == 2
    chat(client, "ok")
    assert ollama.calls[-1].reply == reply_to(MESSAGES)


def test_a_script_for_any_model_is_a_star(ollama: OllamaStandIn, client: httpx.Client) -> None:
    """A load-only request takes nothing of it."""
    ollama.script("*", ["gone-500"])
    assert client.post("/api/chat", json={"model": "a"}).status_code == 200
    assert chat(client, "a").status_code == 500
    assert chat(client, "b").status_code == 200


def test_a_script_with_an_unknown_name_is_refused(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """In the thread form and over HTTP; nothing of it is kept."""
    with pytest.raises(UnknownScenario):
        ollama.script("ok", ["busy-503", "bussy-503"])
    answer = client.post("/standin/script", json={"model": "ok", "scenarios": ["bussy-503"]})
    assert answer.status_code == 400
    assert client.post("/standin/script", json={"model": "ok"}).status_code == 400
    assert chat(client, "ok").status_code == 200


def test_the_same_facts_are_there_over_http(ollama: OllamaStandIn, client: httpx.Client) -> None:
    """stats, calls, script, reset."""
    client.post("/standin/script", json={"model": "ok", "scenarios": ["quota-429"]})
    assert chat(client, "ok").status_code == 429
    chat(client, "ok")
    stats = client.get("/standin/stats").json()
    assert (stats["requests"], stats["active"], stats["peak"]) == (2, 0, 1)
    first, second = client.get("/standin/calls").json()["calls"]
    assert (first["scenario"], first["outcome"]) == ("quota-429", "refused")
    assert (second["messages"], second["reply"]) == (MESSAGES, reply_to(MESSAGES))
    assert json.loads(second["body"])["messages"] == MESSAGES
    client.post("/standin/reset")
    assert (ollama.stats.requests, ollama.calls) == (0, [])


def test_a_reset_forgets_what_still_runs(ollama: OllamaStandIn, client: httpx.Client) -> None:
    """A call from before counts as active until it ends and nowhere else."""
    body = {"model": "stall:1", "messages": MESSAGES}
    with client.stream("POST", "/api/chat", json=body) as response:
        chunks = response.iter_raw()  # held: httpx closes the connection of a forgotten iterator
        next(chunks)
        ollama.reset()
        assert (ollama.stats.active, ollama.stats.peak, ollama.stats.requests) == (1, 1, 0)
    wait_until(lambda: ollama.stats.active == 0, what="the end of the call")
    assert (ollama.stats.disconnects, ollama.stats.tokens) == (0, 0)


def test_lookups_are_counted_apart_from_calls(ollama: OllamaStandIn, client: httpx.Client) -> None:
    """Health checks do not blur the number of model calls."""
    for path in ("/api/tags", "/api/ps", "/api/version"):
        client.get(path)
    assert (ollama.stats.lookups, ollama.stats.requests) == (3, 0)


def test_only_the_newest_calls_are_kept() -> None:
    """Counters go on; memory does not grow."""
    with (
        OllamaStandIn(keep_calls=3) as ollama,
        httpx.Client(base_url=ollama.url, trust_env=False) as client,
    ):
        for _ in range(5):
            chat(client, "instant:1")
        assert [call.number for call in ollama.calls] == [3, 4, 5]
        assert ollama.stats.requests == 5


def test_a_load_is_lost_if_its_client_leaves(ollama: OllamaStandIn, client: httpx.Client) -> None:
    """The next request starts from zero, a third finds the model loaded."""
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/chat", json={"model": "cold:load0.5s"}, timeout=0.2)
    assert ollama.stats.loads == 0
    chat(client, "cold:load0.5s")
    final = json.loads(chat(client, "cold:load0.5s").content.split(b"\n")[-2])
    assert ollama.stats.loads == 1
    assert final["load_duration"] < 400_000_000


def test_a_changed_num_ctx_or_shift_loads_anew(ollama: OllamaStandIn, client: httpx.Client) -> None:
    """Load-time options; others do not matter."""
    for fields in (
        {"options": {"num_ctx": 4096}},
        {"options": {"num_ctx": 4096, "temperature": 1}},
        {"options": {"num_ctx": 8192}},
        {"options": {"num_ctx": 8192}, "shift": False},
    ):
        chat(client, "reloaded", **fields)
    assert ollama.stats.loads == 3


@pytest.mark.parametrize("model", ["delay:0.1s", "serial:0.1s"])
def test_a_model_answers_one_after_the_other(
    ollama: OllamaStandIn, client: httpx.Client, model: str
) -> None:
    """Unless the server is told otherwise. First come, first served; the wait shows in the total
    alone."""
    with ThreadPoolExecutor(3) as threads:
        bodies = threads.map(lambda _: chat(client, model).content, range(3))
        finals = [json.loads(body.split(b"\n")[-2]) for body in bodies]
    ended = sorted(ollama.calls, key=lambda call: call.finished_s or 0)
    assert [call.number for call in ended] == [1, 2, 3]
    times_s = [call.finished_s or 0 for call in ended]
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times_s))
    assert max(slot_wait_ns(final) for final in finals) > 50_000_000


def slot_wait_ns(final: dict[str, Any]) -> int:
    """What the total has beyond its stated parts."""
    parts: int = final["load_duration"] + final["prompt_eval_duration"] + final["eval_duration"]
    return int(final["total_duration"]) - parts


def test_a_leaky_model_hangs_after_a_disconnect_until_it_is_unloaded(
    ollama: OllamaStandIn, client: httpx.Client
) -> None:
    """The server fault that a watchdog has to cure."""
    leave_after_first_chunk(client, "leaky:50x20ms")
    wait_until(lambda: ollama.stats.disconnects == 1, what="the disconnect")
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/chat", json={"model": "leaky:50x20ms", "messages": MESSAGES}, timeout=0.3)
    client.post("/api/chat", json={"model": "leaky:50x20ms", "keep_alive": 0})
    ollama.script("leaky:50x20ms", ["ok"])
    assert chat(client, "leaky:50x20ms").status_code == 200


async def test_many_streams_at_once_keep_their_pace() -> None:
    """Two hundred streams of 20 tokens, one per 20 ms, take little longer than one."""
    with OllamaStandIn(num_parallel=200) as ollama:
        heard = await streamed(ollama, f"slow-tokens:20x{scaled(0.02)}s", 200)
    assert all(answer.endswith(b"\r\n0\r\n\r\n") for answer in heard)
    assert (ollama.stats.peak, ollama.stats.tokens) == (200, 4000)
    started_s = min(call.started_s for call in ollama.calls)
    assert max(call.finished_s or 0 for call in ollama.calls) - started_s < scaled(5)


async def streamed(ollama: OllamaStandIn, model: str, number: int) -> list[bytes]:
    """So many replies at once, each from its first byte to its last."""

    async def ask() -> bytes:
        host, _, port = ollama.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({"model": model, "messages": MESSAGES}).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        heard = await reader.read(-1)
        writer.close()
        return heard

    return await asyncio.gather(*(ask() for _ in range(number)))


def test_a_taken_port_is_an_error_of_its_own(ollama: OllamaStandIn) -> None:
    """NotServing, with the address."""
    port = int(ollama.url.rpartition(":")[2])
    with pytest.raises(NotServing, match=str(port)):
        OllamaStandIn(port=port).start()


def test_as_a_process_it_says_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    """One line when ready; SIGTERM ends it with 0; the log has each call that ended."""
    log = tmp_path / "calls.jsonl"
    command = [sys.executable, "-m", "sandbox.ollama", "--port", "0", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line.startswith("listening on http://127.0.0.1:")
            with httpx.Client(base_url=line.split()[-1], trust_env=False) as client:
                assert chat(client, "ok").status_code == 200
                assert client.get("/standin/stats").json()["requests"] == 1
            process.terminate()
            assert process.wait(scaled(10)) == 0
        finally:
            process.kill()
    (record,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert record["reply"] == reply_to(MESSAGES)
