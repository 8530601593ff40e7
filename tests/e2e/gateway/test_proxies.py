"""Behind a proxy: nobody is let in by a header of his own, and the path that it serves."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.e2e.gateway.conftest import AGENT
from tests.support.machine import scaled
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def token(valkey: ValkeyServer) -> str:
    """An API key: behind a proxy one is needed on loopback too."""
    assert valkey
    made, token = ApiKey.new(name="ama", owner="ama", scopes=USUAL, agents=None)
    memory = get_redis_memory()
    memory.connection.run(api_keys.save(memory.keyspace, made))
    return token


@pytest.fixture(scope="module")
def doors(stack: GriotStack, token: str) -> Iterator[dict[str, httpx.Client]]:
    """A gateway that believes this machine, under a path of its own, and one that does not."""
    own = {"GATEWAY_PROXIES": "127.0.0.1", "GATEWAY_ROOT_PATH": "/griot"}
    _, believing = stack.gateway(name="believing", **own)
    _, doubting = stack.gateway(name="doubting", GATEWAY_PROXIES="203.0.113.1")
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(
                httpx.Client(
                    base_url=address,
                    trust_env=False,
                    timeout=scaled(20),
                    headers={"Authorization": f"Bearer {token}"},
                )
            )
            for name, address in (("believing", believing), ("doubting", doubting))
        }


def test_no_forwarded_header_opens_a_door(doors: dict[str, httpx.Client]) -> None:
    """Neither as loopback nor as anybody else is a client without a key let in."""
    for door in doors.values():
        for claimed in ("127.0.0.1", "::1"):
            headers = {
                "Authorization": "",
                "X-Forwarded-For": claimed,
                "Forwarded": "for=127.0.0.1",
            }
            assert door.get("/v1/models", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/griot/v1/models", "/v1/models"])
def test_the_proxys_path_is_taken_whether_it_is_cut_off_or_not(
    doors: dict[str, httpx.Client], path: str
) -> None:
    """nginx cuts it off where its proxy_pass has a path, and leaves it else."""
    assert doors["believing"].get(path).is_success


def test_what_is_told_of_addresses_has_the_proxys_path(doors: dict[str, httpx.Client]) -> None:
    """The OpenAPI document names it, and the chat page asks for nothing beside it."""
    door = doors["believing"]
    assert door.get("/openapi.json").json()["servers"] == [{"url": "/griot"}]
    page = door.get("/chat").text
    links = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert links
    assert not [one for one in links if one.startswith("/") and not one.startswith("/griot/")]


def test_a_jobs_lines_in_the_workers_log_have_the_requests_id(
    doors: dict[str, httpx.Client], stack: GriotStack
) -> None:
    """Whoever has the id of a request finds what became of its job."""
    asked = {"model": AGENT, "input": "Hello"}
    answer = doors["believing"].post(
        "/v1/responses", json=asked, headers={"X-Request-ID": "traced-through-1"}
    )
    job_id = answer.json()["id"]
    assert answer.json()["status"] == "completed"
    log = stack.directory / "worker.log"

    def lines() -> list[str]:
        found = log.read_text(errors="replace").splitlines()
        return [line for line in found if job_id in line and "traced-through-1" in line]

    wait_until(lambda: bool(lines()), timeout_s=scaled(20), what="a line of the job has the id")
