"""Where the gateway listens, and by which names it is asked."""

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/v1/models", 400)])
async def test_only_health_answers_by_any_name(path: str, status: int) -> None:
    """A container's check asks by address, whatever GATEWAY_HOSTS says."""
    app = create_app(GatewaySettings(hosts="chat.example"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:8080") as client:
        assert (await client.get(path)).status_code == status


def test_a_service_called_gateway_beside_it_says_nothing_of_its_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes and Docker set its address for all its neighbours."""
    monkeypatch.setenv("GATEWAY_PORT", "tcp://10.96.0.9:80")
    assert GatewaySettings().port == 8080


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("[::1]", "http://[::1]:8080"),
    ],
)
def test_its_address_is_one_that_a_client_takes(host: str, address: str) -> None:
    """IPv6 in brackets, however it is given."""
    assert GatewaySettings(host=host).address == address
