"""How the stand-in schedules loads, evictions, its queue and slots (docs/ollama.md, Loading)."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from sandbox.ollama import OllamaStandIn
from tests.support.machine import scaled
from tests.support.waiting import wait_until

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    """A server of its own for each test: what is loaded counts."""
    with OllamaStandIn() as server:
        yield server


class Clients:
    """Clients that ask at once, each in a thread."""

    def __init__(self, ollama: OllamaStandIn, threads: ThreadPoolExecutor) -> None:
        self._ollama, self._threads = ollama, threads

    def chat(self, model: str, **fields: object) -> "Future[httpx.Response]":
        """A chat that is under way when this returns."""
        before = self._ollama.stats.requests
        asked = {"model": model, "messages": MESSAGES, "stream": False, **fields}
        answer = self._threads.submit(self.post, asked)
        wait_until(lambda: self._ollama.stats.requests > before, what="the chat has arrived")
        return answer

    def load(self, model: str, **fields: object) -> httpx.Response:
        """A request without messages, answered."""
        return self.post({"model": model, **fields})

    def post(self, asked: dict[str, object]) -> httpx.Response:
        """One request."""
        url = f"{self._ollama.url}/api/chat"
        return httpx.post(url, json=asked, trust_env=False, timeout=scaled(20))

    def loaded(self) -> list[str]:
        """The names that /api/ps lists, in alphabetical order."""
        listed = httpx.get(f"{self._ollama.url}/api/ps", trust_env=False).json()["models"]
        return sorted(model["name"].removesuffix(":latest") for model in listed)


@contextmanager
def clients_of(ollama: OllamaStandIn) -> Iterator[Clients]:
    """Ended when all have their answers."""
    with ThreadPoolExecutor(16) as threads:
        yield Clients(ollama, threads)


@pytest.fixture
def clients(ollama: OllamaStandIn) -> Iterator[Clients]:
    """Of that server."""
    with clients_of(ollama) as made:
        yield made


def test_a_fourth_model_takes_the_place_of_the_idle_one_with_the_shortest_time(
    clients: Clients,
) -> None:
    """Not of the one that was used longest ago."""
    for model, minutes in (("a", "3m"), ("b", "1m"), ("c", "2m")):
        clients.load(model, keep_alive=minutes)
    clients.load("d", keep_alive="9m")
    assert clients.loaded() == ["a", "c", "d"]


def test_a_busy_model_is_waited_for_before_it_goes(ollama: OllamaStandIn, clients: Clients) -> None:
    """All three are in use: the fourth is loaded when one of them has answered."""
    busy = [clients.chat(f"slow-first:{n}00ms") for n in (6, 7, 8)]
    fourth = clients.chat("d")
    assert all(answer.result().status_code == 200 for answer in (*busy, fourth))
    first_end_s = min(call.finished_s or 0 for call in ollama.calls)
    began_s = next(call.first_token_s for call in ollama.calls if call.model == "d")
    assert began_s is not None
    assert began_s >= first_end_s


def test_one_load_at_a_time_holds_up_what_needs_another_but_not_what_is_loaded(
    clients: Clients,
) -> None:
    """Head-of-line blocking: the second load waits for the first, a warm model does not."""
    clients.load("warm")
    slow = clients.chat("cold:load400ms")
    waiting = clients.chat("next")
    assert clients.chat("warm").result().json()["total_duration"] < scaled(0.3) * 1e9
    assert waiting.result().json()["load_duration"] > 0.1e9
    assert slow.result().json()["load_duration"] > 0.4e9


def test_a_reload_waits_for_the_replies_that_run(ollama: OllamaStandIn, clients: Clients) -> None:
    """And with it all that would need a load."""
    first = clients.chat("slow-first:0.4s")
    second = clients.chat("slow-first:0.4s", options={"num_ctx": 1024})
    assert first.result().status_code == second.result().status_code == 200
    assert ollama.stats.loads == 2
    assert second.result().json()["load_duration"] > 0.1e9


def test_a_full_queue_is_503_and_only_for_what_needs_a_load() -> None:
    """A model that is loaded passes it by."""
    with OllamaStandIn(max_queue=1) as ollama, clients_of(ollama) as clients:
        clients.load("warm")
        waiting = [clients.chat(f"cold:load{n}00ms") for n in (4, 3)]
        refused = clients.chat("cold:load1ms").result()
        assert refused.status_code == 503
        text = "server busy, please try again.  maximum pending requests exceeded"
        assert refused.json() == {"error": text}
        assert clients.chat("warm").result().status_code == 200
        assert all(answer.result().status_code == 200 for answer in waiting)


def test_a_model_has_as_many_slots_as_the_server_is_told() -> None:
    """Two replies at once; the third begins when one of them has ended."""
    with OllamaStandIn(num_parallel=2) as ollama, clients_of(ollama) as clients:
        clients.load("delay:0.3s")
        answers = [clients.chat("delay:0.3s") for _ in range(3)]
        assert all(answer.result().status_code == 200 for answer in answers)
    ended_s = min(call.finished_s or 0 for call in ollama.calls)
    *_, last_s = sorted(call.first_token_s or 0 for call in ollama.calls)
    assert last_s >= ended_s + 0.3


def test_a_lack_of_memory_in_mid_reply_lets_every_model_go(clients: Clients) -> None:
    """Idle ones at once."""
    clients.load("a")
    clients.load("b")
    assert clients.chat("forgetful").result().status_code == 500
    wait_until(lambda: clients.loaded() == [], what="all are gone")


def test_a_load_that_fails_fails_for_a_loaded_model_too_if_scripted(
    ollama: OllamaStandIn, clients: Clients
) -> None:
    """As if it had been evicted; the next call is well."""
    clients.load("a")
    ollama.script("a", ["load-500"])
    assert clients.chat("a").result().status_code == 500
    assert clients.chat("a").result().status_code == 200
