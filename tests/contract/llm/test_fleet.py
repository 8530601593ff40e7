"""Several stand-ins as one: who is asked, who is asked next, and who is left alone."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from llm import (
    AccessDeniedError,
    ChatRequest,
    ContextOverflowError,
    Delta,
    Final,
    Fleet,
    InvalidRequestError,
    LLMError,
    LLMSettings,
    ModelNotFoundError,
    OllamaBusyError,
    OllamaClient,
    OllamaFailedError,
    OllamaUnreachableError,
    QuotaExceededError,
    RequestRejectedError,
    StreamCutError,
    Timeouts,
    TotalTimeoutError,
    UnsupportedError,
)
from llm.servers import server as of_servers
from llm.servers.breaker import FAILURES
from llm.servers.choice import Candidate, Readiness, best_of
from llm.wire.records import joined
from sandbox.ollama import OllamaStandIn, reply_to
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from telemetry.labels import BoundedNames
from tests.support.breaker_states import State, state_of
from tests.support.machine import scaled
from tests.support.metrics.shown import own_text, total
from tests.support.waiting import eventually, wait_until
from tests.support.warm.python import warm

MESSAGES = ({"role": "user", "content": "Tell me of the balafon."},)
ANSWER = reply_to(list(MESSAGES))
LIMITS = Timeouts(first_token_s=scaled(0.5), idle_s=scaled(0.3), total_s=scaled(5))


@dataclass
class Pair:
    """Two servers with the model "ok" loaded, and sessions whose own server is known."""

    own: OllamaStandIn
    other: OllamaStandIn
    session: str = ""
    """A session that belongs to `own`."""

    @property
    def servers(self) -> tuple[OllamaStandIn, OllamaStandIn]:
        return self.own, self.other

    @property
    def counts(self) -> tuple[int, int]:
        """How many calls each has had."""
        return self.own.stats.requests, self.other.stats.requests

    def fleet(self, timeouts: Timeouts = LIMITS) -> Fleet:
        clients = [OllamaClient(server.url, timeouts=timeouts) for server in self.servers]
        return Fleet(clients, timeouts=timeouts)


def chat(model: str = "ok") -> ChatRequest:
    return ChatRequest(model=model, messages=MESSAGES)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[OllamaStandIn, OllamaStandIn]]:
    with OllamaStandIn() as first, OllamaStandIn() as second:
        yield first, second


@pytest.fixture
async def pair(servers: tuple[OllamaStandIn, OllamaStandIn]) -> AsyncIterator[Pair]:
    """After each test no request may be open on either server."""
    own, other = servers
    for server in servers:
        server.reset()
        async with OllamaClient(server.url) as client:
            await client.chat(chat())
        server.reset()
    warm = [Candidate(server.url, Readiness.WARM) for server in servers]
    names = (f"energy:s-{n}" for n in range(1000))
    session = next(name for name in names if best_of(warm, name) == warm[0])
    yield Pair(own, other, session)
    for server in servers:
        wait_until(lambda: server.stats.active == 0, timeout_s=5, what="no open request")  # noqa: B023


async def test_a_session_stays_on_its_server_and_sessions_are_spread(pair: Pair) -> None:
    """By every fleet alike: workers need not talk to agree."""
    for _ in range(2):
        async with pair.fleet() as fleet:
            for _ in range(3):
                reply = await fleet.chat(chat(), session=pair.session)
                assert reply.text == ANSWER
                assert reply.final.server == pair.own.url.removeprefix("http://")
    assert pair.counts == (6, 0)
    async with pair.fleet() as fleet:
        await asyncio.gather(*(fleet.chat(chat(), session=f"a:{n}") for n in range(20)))
    assert min(pair.counts) > 3


async def test_the_servers_are_looked_at_once_and_not_for_each_call(pair: Pair) -> None:
    """Two questions per server at the first call, however many come at once, and one after the
    load of the model; none afterwards."""
    async with pair.fleet() as fleet:
        await asyncio.gather(*(fleet.chat(chat(), session=f"a:{n}") for n in range(20)))
        for n in range(20):
            await fleet.chat(chat(), session=f"a:{n}")
    assert [server.stats.lookups for server in pair.servers] == [3, 3]


async def test_a_lone_server_is_asked_once_how_long_it_keeps_the_model(pair: Pair) -> None:
    """After the load. There is nothing to choose."""
    async with Fleet([OllamaClient(pair.own.url)]) as fleet:
        assert (await fleet.chat(chat(), session="s")).text == ANSWER
    assert (pair.own.stats.lookups, pair.counts) == (1, (1, 0))


async def test_a_server_that_has_the_model_loaded_comes_first(pair: Pair) -> None:
    """Though the session would be another one's."""
    async with OllamaClient(pair.other.url) as client:
        await client.chat(chat("ok:20"))
    async with pair.fleet() as fleet:
        assert (await fleet.chat(chat("ok:20"), session=pair.session)).text
    assert pair.counts == (0, 2)


BEFORE_THE_FIRST_TOKEN = {
    "busy-503": OllamaBusyError,
    "overloaded-503": OllamaBusyError,
    "unreachable-502": OllamaFailedError,
    "gone-500": OllamaFailedError,
    "load-500": OllamaFailedError,
    "exit-500": OllamaFailedError,
    "late-500": OllamaFailedError,
    "gpu-500": OllamaFailedError,
    "binary-500": OllamaFailedError,
    "old-500": OllamaFailedError,
    "odd-500": OllamaFailedError,
    "slots-500": OllamaFailedError,
    "ended-500": OllamaFailedError,
    "silent-500": OllamaFailedError,
    "compute-500": OllamaFailedError,
    "memory-500": OllamaFailedError,
    "runner-500": OllamaFailedError,
    "bad-call": OllamaFailedError,
    "reset:0": OllamaUnreachableError,
    "close": OllamaUnreachableError,
    "error-line:0": OllamaFailedError,
    "no-done:0": StreamCutError,
}
NEVER_ELSEWHERE = {
    "bad-400": RequestRejectedError,
    "overflow-400": ContextOverflowError,
    "rendered:ctx2": ContextOverflowError,
    "embedder": UnsupportedError,
    "unsigned-401": AccessDeniedError,
    "disabled-403": AccessDeniedError,
    "quota-429": QuotaExceededError,
    "option-500": InvalidRequestError,
}
AFTER_A_TOKEN = {
    "error-line": OllamaFailedError,
    "bad-call:3": OllamaFailedError,
    "no-done": StreamCutError,
    "cut": StreamCutError,
    "reset": StreamCutError,
    "stall": TotalTimeoutError,
}


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_TOKEN)
async def test_a_failure_before_the_first_token_moves_the_call(pair: Pair, fault: str) -> None:
    """One call here, one there, and the user sees one whole answer; each server is told of."""
    pair.own.script("ok", [fault])
    asked = list[str]()
    async with pair.fleet() as fleet:
        stream = fleet.stream(chat(), session=pair.session, on_server=asked.append)
        reply = joined([record async for record in stream])
    assert asked == [pair.own.url, pair.other.url]
    assert reply.text == ANSWER
    assert reply.final.server == pair.other.url.removeprefix("http://")
    assert pair.counts == (1, 1)


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_TOKEN)
async def test_when_all_servers_fail_the_call_fails_after_one_call_each(
    pair: Pair, fault: str
) -> None:
    """With the class of the failure, so that the job is tried again later."""
    for server in pair.servers:
        server.script("ok", [fault])
    async with pair.fleet() as fleet:
        with pytest.raises(LLMError) as caught:
            await fleet.chat(chat(), session=pair.session)
    assert type(caught.value) is BEFORE_THE_FIRST_TOKEN[fault]
    assert pair.counts == (1, 1)


@pytest.mark.parametrize("fault", NEVER_ELSEWHERE)
async def test_a_refusal_is_not_asked_for_again_elsewhere(pair: Pair, fault: str) -> None:
    """The same request would be refused there too, or must not be repeated."""
    pair.own.script("ok", [fault])
    async with pair.fleet() as fleet:
        with pytest.raises(LLMError) as caught:
            await fleet.chat(chat(), session=pair.session)
    assert type(caught.value) is NEVER_ELSEWHERE[fault]
    assert pair.counts == (1, 0)


@pytest.mark.parametrize("fault", AFTER_A_TOKEN)
async def test_after_a_token_the_call_never_moves(pair: Pair, fault: str) -> None:
    """The user has seen a part of this answer; the job's next attempt begins anew."""
    pair.own.script("ok", [fault])
    seen: list[Delta | Final] = []

    async def read(fleet: Fleet) -> None:
        async with aclosing(fleet.stream(chat(), session=pair.session)) as records:
            async for record in records:
                seen.append(record)

    async with pair.fleet() as fleet:
        with pytest.raises(LLMError) as caught:
            await read(fleet)
    assert type(caught.value) is AFTER_A_TOKEN[fault]
    assert len(seen) == 3
    assert pair.counts == (1, 0)


async def test_the_whole_time_is_not_given_twice(pair: Pair) -> None:
    """A call that has used up its time does not move."""
    pair.own.script("ok", ["hang"])
    limits = Timeouts(first_token_s=5, total_s=0.3)
    async with pair.fleet(limits) as fleet:
        with pytest.raises(TotalTimeoutError):
            await fleet.chat(chat(), session=pair.session)
    assert pair.counts == (1, 0)


async def test_a_model_that_one_server_lacks_is_asked_of_the_other(pair: Pair) -> None:
    """Also where the list of models was out of date: 404, and on to the next."""
    pair.own.script("ok", ["missing"])
    async with pair.fleet() as fleet:
        assert (await fleet.chat(chat(), session=pair.session)).text == ANSWER
        assert (await fleet.chat(chat(), session=pair.session)).text == ANSWER
    assert pair.counts == (1, 2)


async def test_a_model_that_no_server_has_is_an_error_that_says_what_to_do(pair: Pair) -> None:
    """After one question to each."""
    async with pair.fleet() as fleet:
        with pytest.raises(ModelNotFoundError, match="ollama pull missing"):
            await fleet.chat(chat("missing"), session=pair.session)
    assert [server.stats.load_requests for server in pair.servers] == [1, 1]
    assert pair.counts == (0, 0)


async def test_a_server_that_is_down_may_have_the_missing_model(pair: Pair) -> None:
    """So the job is kept and tried again, whichever of the two is asked first."""
    pair.other.stop()
    try:
        async with pair.fleet() as fleet:
            with pytest.raises(OllamaUnreachableError):
                await fleet.chat(chat("missing"), session=pair.session)
    finally:
        pair.other.start()


async def test_a_server_that_keeps_failing_is_left_alone(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many failures in a row it is not asked; then by one call, which closes the case."""
    # Other tests of this process have met more servers than have names.
    monkeypatch.setattr(of_servers, "SERVERS", BoundedNames())
    pair.own.script("ok", ["busy-503"] * FAILURES)
    async with pair.fleet() as fleet:
        for _ in range(FAILURES + 5):
            assert (await fleet.chat(chat(), session=pair.session)).text == ANSWER
        assert pair.counts == (FAILURES, FAILURES + 5)
        assert [state_of(server.breaker) for server in fleet.servers] == [State.OPEN, State.CLOSED]
        assert total(own_text(), "griot_breaker_open", server=fleet.servers[0].label) == 1
        await eventually(
            lambda: state_of(fleet.servers[0].breaker) is State.HALF_OPEN, what="the pause is over"
        )
        await asyncio.gather(*(fleet.chat(chat(), session=pair.session) for _ in range(5)))
        assert state_of(fleet.servers[0].breaker) is State.CLOSED
        await fleet.chat(chat(), session=pair.session)
        assert pair.own.calls[-1].status == 200


async def test_a_server_whose_model_answers_nobody_is_left_alone(pair: Pair) -> None:
    """It lives and lists the model, and in the time of a whole reply no call got a byte."""
    pair.own.script("ok", ["hang"] * FAILURES)
    async with pair.fleet(Timeouts(first_token_s=scaled(0.5), total_s=scaled(1))) as fleet:
        for _ in range(2):
            with pytest.raises(TotalTimeoutError):
                await fleet.chat(chat(), session=pair.session)
        reply = await fleet.chat(chat(), session=pair.session)
    assert reply.final.server == pair.other.url.removeprefix("http://")


async def test_one_call_at_a_time_tries_whether_a_server_is_well(pair: Pair) -> None:
    """Of fifty calls that come while its trial is under way the others go elsewhere."""
    pair.own.script("ok", ["busy-503"] * FAILURES + ["slow-first:0.3s"] + ["busy-503"] * 100)
    # Long enough for fifty calls at once on a busy machine: the trial must not run out of time.
    async with pair.fleet(Timeouts(first_token_s=10)) as fleet:
        for _ in range(FAILURES):
            await fleet.chat(chat(), session=pair.session)
        await eventually(
            lambda: state_of(fleet.servers[0].breaker) is State.HALF_OPEN, what="the pause is over"
        )
        replies = await asyncio.gather(
            *(fleet.chat(chat(), session=pair.session) for _ in range(50))
        )
    assert [reply.text for reply in replies] == [ANSWER] * 50
    assert pair.counts == (FAILURES + 1, FAILURES + 49)


async def test_a_trial_that_its_user_cancels_hands_over_to_the_next(pair: Pair) -> None:
    """A cancel says nothing of the server."""
    pair.own.script("ok", ["busy-503"] * FAILURES + ["hang"])
    async with pair.fleet() as fleet:
        for _ in range(FAILURES):
            await fleet.chat(chat(), session=pair.session)
        await eventually(
            lambda: state_of(fleet.servers[0].breaker) is State.HALF_OPEN, what="the pause is over"
        )
        trial = asyncio.create_task(fleet.chat(chat(), session=pair.session))
        await eventually(lambda: pair.own.stats.active == 1, what="the trial is under way")
        trial.cancel()
        await asyncio.wait([trial])
        reply = await fleet.chat(chat(), session=pair.session)
    assert reply.final.server == pair.own.url.removeprefix("http://")


async def test_when_no_server_may_be_asked_the_calls_wait_for_one(pair: Pair) -> None:
    """No storm of failures, and no job given up: they go on with the first that is well."""
    for server in pair.servers:
        server.script("ok", ["busy-503"] * FAILURES)
    async with pair.fleet(Timeouts(first_token_s=scaled(10))) as fleet:
        for _ in range(FAILURES):
            with pytest.raises(OllamaBusyError):
                await fleet.chat(chat(), session=pair.session)
        assert {state_of(server.breaker) for server in fleet.servers} == {State.OPEN}
        replies = await asyncio.gather(*(fleet.chat(chat(), session=f"a:{n}") for n in range(20)))
    assert [reply.text for reply in replies] == [ANSWER] * 20
    assert Counter(call.status for s in pair.servers for call in s.calls) == {
        503: 2 * FAILURES,
        200: 20,
    }


async def test_waiting_for_a_server_has_an_end(pair: Pair) -> None:
    """That of the first token; the error is retryable and names the servers."""
    for server in pair.servers:
        server.script("ok", ["busy-503"] * (FAILURES + 20))
    async with pair.fleet(Timeouts(first_token_s=0.3)) as fleet:
        for _ in range(FAILURES):
            with pytest.raises(OllamaBusyError):
                await fleet.chat(chat(), session=pair.session)
        with pytest.raises(OllamaUnreachableError, match=r"127\.0\.0\.1:.*127\.0\.0\.1:"):
            await fleet.chat(chat(), session=pair.session)
    assert pair.counts == (FAILURES, FAILURES)


async def test_a_server_that_stops_in_mid_traffic_costs_no_answer(pair: Pair) -> None:
    """Calls that had no token yet are answered by the other; it is used again when it is back."""
    async with pair.fleet(Timeouts(first_token_s=scaled(5))) as fleet:
        pair.own.script("ok", ["slow-first:5s"] * 10)
        calls = [asyncio.create_task(fleet.chat(chat(), session=f"a:{n}")) for n in range(20)]
        await eventually(lambda: pair.own.stats.active > 0, what="the first server is at work")
        pair.own.stop()
        try:
            replies = await asyncio.gather(*calls)
            assert [reply.text for reply in replies] == [ANSWER] * 20
            for _ in range(5):
                await fleet.chat(chat(), session=pair.session)
        finally:
            pair.own.start()
        pair.own.script("ok", [])
        await eventually(
            lambda: state_of(fleet.servers[0].breaker) is not State.OPEN, what="the pause is over"
        )
        reply = await fleet.chat(chat(), session=pair.session)
    assert reply.final.server == pair.own.url.removeprefix("http://")


async def test_a_fleet_is_made_of_the_settings(pair: Pair) -> None:
    """Each address with a client of its own."""
    settings = LLMSettings(_env_file=None, base_urls=tuple(server.url for server in pair.servers))
    async with Fleet.from_settings(settings, max_connections=3) as fleet:
        assert [server.url for server in fleet.servers] == [server.url for server in pair.servers]
        assert (await fleet.chat(chat(), session=pair.session)).text == ANSWER
    assert pair.counts == (1, 0)


async def test_a_closed_fleet_takes_no_calls(pair: Pair) -> None:
    """Those in flight fail as retryable; closing twice is harmless."""
    fleet = pair.fleet()
    task = asyncio.create_task(fleet.chat(chat("endless"), session=pair.session))
    await eventually(lambda: sum(pair.counts) == 1, what="the call has arrived")
    await fleet.aclose()
    await fleet.aclose()
    with pytest.raises(OllamaUnreachableError, match="closed"):
        await task
    with pytest.raises(OllamaUnreachableError, match="closed"):
        await fleet.chat(chat())


# ---- where somebody bounds the calls


@dataclass
class OneSlot:
    """A slot at `server`; it moves to the first server of those in `free`."""

    server: str
    free: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    async def move(self, servers: Sequence[str]) -> bool:
        self.asked = tuple(servers)
        self.server = next((url for url in servers if url in self.free), self.server)
        return self.server in self.free


async def test_only_the_server_of_the_slot_is_asked(pair: Pair) -> None:
    """Though another one is the session's own."""
    async with pair.fleet() as fleet:
        await said(fleet, session=pair.session, held_slot=OneSlot(pair.other.url))
        assert pair.counts == (0, 1)
        await said(fleet, session=pair.session, held_slot=OneSlot(""))
        assert pair.counts == (1, 1), "an empty slot bounds nothing"


async def test_the_slot_moves_with_the_call(pair: Pair) -> None:
    """To another server after a failure, if there is one free."""
    pair.own.script("ok", ["busy-503"])
    held_slot = OneSlot(pair.own.url, free=(pair.other.url,))
    async with pair.fleet() as fleet:
        assert await said(fleet, session=pair.session, held_slot=held_slot) == ANSWER
    assert held_slot.asked == (pair.other.url,)
    assert pair.counts == (1, 1)


async def test_a_call_whose_slot_cannot_move_ends_with_its_error(pair: Pair) -> None:
    """No server is asked at which there is no slot."""
    pair.own.script("ok", ["busy-503"])
    async with pair.fleet() as fleet:
        with pytest.raises(OllamaBusyError):
            await said(fleet, session=pair.session, held_slot=OneSlot(pair.own.url))
    assert pair.counts == (1, 0)


async def test_a_server_without_a_free_slot_is_not_said_to_fail(pair: Pair) -> None:
    """Only of the one whose breaker is open the error says so."""
    pair.own.script("ok", ["busy-503"] * FAILURES)
    async with pair.fleet() as fleet:
        for _ in range(FAILURES):
            with pytest.raises(OllamaBusyError):
                await said(fleet, session=pair.session, held_slot=OneSlot(pair.own.url))
        own, other = (server.url.removeprefix("http://") for server in (pair.own, pair.other))
        why = f"no Ollama is available: {own} failed repeatedly, {other} had no free slot"
        with pytest.raises(OllamaUnreachableError, match=f"^{why}$"):
            await said(fleet, session=pair.session, held_slot=OneSlot(pair.own.url))


async def test_a_server_without_the_model_is_open_to_no_call_of_it(pair: Pair) -> None:
    """Unless no server is known to have it; the session's own is the first of the others."""
    async with pair.fleet() as fleet:
        both = {pair.own.url, pair.other.url}
        assert await fleet.ranked("ok", pair.session) == (pair.own.url, pair.other.url)
        assert set(fleet.open_to("nobody-has-it")) == both
        pair.own.script("ok", ["missing"])
        await said(fleet, session=pair.session)
        assert fleet.open_to("ok") == (pair.other.url,)


async def test_who_waits_learns_which_servers_may_have_a_model_and_which_answer(
    pair: Pair,
) -> None:
    """All of them where none is known to have it; a server that is stopped answers no look."""
    async with pair.fleet() as fleet:
        assert fleet.able_to("ok") == (pair.own.url, pair.other.url)
        await fleet.ranked("ok", pair.session)
        pair.own.script("ok", ["missing"])
        await said(fleet, session=pair.session)
        assert fleet.able_to("ok") == (pair.other.url,)
        assert set(fleet.able_to("nobody-has-it")) == {pair.own.url, pair.other.url}
        assert await fleet.answers(pair.own.url)
        pair.own.stop()
        try:
            assert not await fleet.answers(pair.own.url)
        finally:
            pair.own.start()


async def test_a_server_that_is_said_to_be_back_is_asked_at_once(pair: Pair) -> None:
    """Its circuit breaker was open: one call tries it."""
    pair.own.script("ok", ["busy-503"] * FAILURES)
    async with pair.fleet() as fleet:
        for _ in range(FAILURES):
            await said(fleet, session=pair.session)
        assert pair.own.url not in fleet.open_to("ok")
        fleet.note_look((), (pair.own.url,))
        assert pair.own.url in fleet.open_to("ok")


async def said(fleet: Fleet, *, session: str, held_slot: OneSlot | None = None) -> str:
    """What the fleet answers."""
    stream = fleet.stream(chat(), session=session, held_slot=held_slot)
    async with aclosing(stream) as records:
        return "".join([one.text async for one in records if isinstance(one, Delta)])


async def test_a_server_that_is_frozen_is_found_out_and_left_alone(
    pair: Pair, tmp_path: Path
) -> None:
    """Its connections are accepted and nothing answers, as while Ollama starts."""
    port = free_port()
    command = (sys.executable, "-m", "sandbox.ollama", "--port", str(port))
    with ServerProcess(
        command, log_path=tmp_path / "frozen.log", name="frozen", starter=warm
    ) as process:
        process.wait_ready(lambda: "listening on" in process.log_text(), 20)
        process.freeze()
        frozen = OllamaClient(f"http://127.0.0.1:{port}", timeouts=LIMITS)
        async with Fleet([frozen, OllamaClient(pair.own.url)], timeouts=LIMITS) as fleet:
            for number in range(5):
                reply = await fleet.chat(chat(), session=f"s-{number}")
                assert reply.text == ANSWER
        process.kill()
    assert pair.own.stats.requests == 5


@pytest.mark.parametrize(
    ("fault", "meanwhile", "is_outage"),
    [
        ("stall", "frozen", True),
        ("stall", "well", False),
        ("slow-tokens:50x100ms", "killed", True),
        ("reset", "well", False),
    ],
)
async def test_a_reply_that_breaks_is_an_outage_only_where_its_server_is_away_too(
    tmp_path: Path, fault: str, meanwhile: str, is_outage: bool
) -> None:
    """The reply may have broken by the fault of its request: a look at the server decides."""
    port = free_port()
    command = (sys.executable, "-m", "sandbox.ollama", "--port", str(port))
    with ServerProcess(
        command, log_path=tmp_path / "server.log", name="server", starter=warm
    ) as process:
        process.wait_ready(lambda: "listening on" in process.log_text(), 20)
        happens = {"frozen": process.freeze, "killed": process.kill, "well": lambda: None}
        client = OllamaClient(f"http://127.0.0.1:{port}", timeouts=LIMITS)
        async with Fleet([client], timeouts=replace(LIMITS, first_token_s=scaled(5))) as fleet:

            async def read() -> None:
                async with aclosing(fleet.stream(chat(fault))) as records:
                    async for _ in records:
                        happens[meanwhile]()

            with pytest.raises(LLMError) as caught:
                await read()
        process.kill()
    assert caught.value.is_outage is is_outage
