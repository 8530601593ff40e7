"""Sending one event to a receiver: how it is signed, and where it never goes."""

import socket
from collections.abc import Iterator

import openai
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook as StandardWebhook

from tests.support.webhooks.receiver import OTHER_SECRET, SECRET, Receiver, receiver
from webhooks.errors import Failed, Undeliverable
from webhooks.posting import Poster
from webhooks.settings import WebhookSettings

BODY = (
    b'{"id":"evt_1","object":"event","type":"response.completed","created_at":1,"data":{"id":"r"}}'
)
LOOPBACK = "127.0.0.0/8"


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as found:
        yield found


class Names(AbstractResolver):
    """Answers each look-up with the next of `addresses`, as who owns a name may do."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The next address."""
        self.asked += 1
        address = self._addresses.pop(0)
        return [ResolveResult(hostname=host, host=address, port=port, family=2, proto=0, flags=0)]

    async def close(self) -> None:
        """There is nothing to close."""


async def sent(
    hooks: Receiver, *, url: str = "", names: Names | None = None, **given: object
) -> None:
    """Send an event to a receiver, with these settings."""
    hosts = f"http://127.0.0.1:{hooks.port}, http://hooks.example:{hooks.port}"
    named = {"hosts": hosts, "networks": LOOPBACK, "secrets": SECRET, "timeout_s": 10.0, **given}
    poster = Poster(WebhookSettings.model_validate(named), at_once=2, names=names)
    try:
        await poster.post(url or hooks.url, "evt_1", BODY)
    finally:
        await poster.aclose()


async def test_openai_s_client_and_the_standard_accept_what_is_sent(hooks: Receiver) -> None:
    """The signature, the body and the address are whole; another secret opens nothing."""
    await sent(hooks)
    (delivery,) = hooks.got
    assert (delivery.event().type, delivery.body) == ("response.completed", BODY)
    assert StandardWebhook(SECRET).verify(delivery.body, delivery.headers)
    assert delivery.path == "/hooks?token=s3cret"
    assert "authorization" not in delivery.headers
    with pytest.raises(openai.InvalidWebhookSignatureError):
        delivery.event(OTHER_SECRET)


async def test_while_a_secret_is_exchanged_both_open_an_event(hooks: Receiver) -> None:
    """Two secrets make two signatures."""
    await sent(hooks, secrets=f"{OTHER_SECRET}, {SECRET}")
    (delivery,) = hooks.got
    assert delivery.event(SECRET) == delivery.event(OTHER_SECRET)
    assert StandardWebhook(OTHER_SECRET).verify(delivery.body, delivery.headers)


async def test_a_redirect_is_not_followed(hooks: Receiver) -> None:
    """Whoever answers with one could name any address inside."""
    with receiver() as other:
        hooks.status, hooks.more = 307, {"Location": other.url}
        with pytest.raises(Failed, match="307; redirects are not followed"):
            await sent(hooks)
        assert other.got == []


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_what_is_not_taken_is_sent_again_later(hooks: Receiver, status: int) -> None:
    """Any answer but 2xx is none."""
    hooks.status = status
    with pytest.raises(Failed, match=str(status)):
        await sent(hooks)


async def test_who_wants_no_more_is_left_alone(hooks: Receiver) -> None:
    """410 Gone."""
    hooks.status = 410
    with pytest.raises(Undeliverable, match="410"):
        await sent(hooks)


async def test_a_receiver_that_is_slow_or_away_costs_no_more_than_the_time_out(
    hooks: Receiver,
) -> None:
    """Its silence is an error, and so is a closed port."""
    hooks.goes_on.clear()
    with pytest.raises(Failed, match=r"no answer within 0\.2 s"):
        await sent(hooks, timeout_s=0.2)
    hooks.goes_on.set()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(Failed, match="cannot be reached"):
            await sent(hooks, url=url, hosts=f"http://127.0.0.1:{port}")


async def test_of_a_long_answer_only_the_beginning_is_read(hooks: Receiver) -> None:
    """It says no more than its status does."""
    hooks.status, hooks.size_bytes = 200, 50_000_000
    await sent(hooks)


@pytest.mark.parametrize("networks", ["", "10.0.0.0/8"])
async def test_an_address_of_a_private_network_is_refused(hooks: Receiver, networks: str) -> None:
    """Nothing is sent unless a setting names the network."""
    with pytest.raises(Undeliverable, match="private network"):
        await sent(hooks, networks=networks)
    assert hooks.got == []


async def test_a_name_of_a_private_address_is_refused(hooks: Receiver) -> None:
    """Whoever owns a name may give it any address."""
    names = Names("127.0.0.1")
    with pytest.raises(Undeliverable, match="private network"):
        await sent(hooks, url=f"http://hooks.example:{hooks.port}/", names=names, networks="")
    assert hooks.got == []


async def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    hooks: Receiver,
) -> None:
    """A name that changes its address after the look gains nothing: it is asked once, and the
    receiver still sees the name."""
    names = Names("127.0.0.1", "10.0.0.1")
    await sent(hooks, url=f"http://hooks.example:{hooks.port}/x", names=names)
    (delivery,) = hooks.got
    assert delivery.headers["host"] == f"hooks.example:{hooks.port}"
    assert names.asked == 1


async def test_a_host_that_is_not_allowed_any_more_gets_nothing(hooks: Receiver) -> None:
    """The list is asked again each time that something is sent."""
    with pytest.raises(Undeliverable, match="WEBHOOK_HOSTS"):
        await sent(hooks, hosts="hooks.example.com")
    assert hooks.got == []


async def test_a_proxy_of_the_environment_is_not_used(
    hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would see every event, and connect to what was not looked at."""
    with receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await sent(hooks)
        assert (len(hooks.got), proxy.got) == (1, [])
