"""The examples, run as they are against real servers."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from examples.fastapi_app import app
from llm import get_llm_service
from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python
from tests.support.web_users import USER, bearer

ROOT = Path(__file__).resolve().parents[3]
WAIT_S = 30
DEFAULT_MAX_PENDING = 100


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> None:
    """One worker for all tests of this module."""
    stack.worker()


@pytest.fixture
def web(ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the FastAPI example; its `/chat` asks the stand-in too."""
    monkeypatch.setenv("OLLAMA_BASE_URL", ollama.url)
    get_llm_service().close()  # made with the address that another test had set
    with TestClient(app, base_url="http://localhost", headers=bearer()) as client:
        yield client
    get_llm_service().close()


@pytest.fixture
def new() -> dict[str, str]:
    """A message for a session of the test's own."""
    return {"agent_id": "energy", "session_id": f"web-{uuid.uuid4()}", "message": "What is WAPP?"}


def kept(new: dict[str, str]) -> dict[str, str]:
    """The same message as Griot has it: for a session of the client's user."""
    return {**new, "session_id": f"{USER}~{new['session_id']}"}


def test_a_wrong_setting_ends_the_start_and_no_request(stack: GriotStack, tmp_path: Path) -> None:
    """The last line before uvicorn's own names it."""
    (tmp_path / ".env").write_bytes("REDIS_HOST=h\n".encode("utf-16"))
    ended = run_python(
        "-m", "uvicorn", "examples.fastapi_app:app", "--port", "0",
        env={**stack.env, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, timeout_s=scaled(40),
    )  # fmt: skip
    assert ended.returncode != 0
    assert f"ConfigurationError: {tmp_path}/.env is not UTF-8 (line 1)" in ended.stderr


def test_the_chat_endpoint_answers_and_remembers(web: TestClient, new: dict[str, str]) -> None:
    """`POST /chat` with `Depends(get_redis_memory)`, and the message in the body."""
    answer = web.post("/chat", json=new)
    assert answer.status_code == 200, answer.text
    reply = answer.json()["response"]
    assert "What is WAPP?" in reply
    session = kept(new)["session_id"]
    history = get_redis_memory().get_conversation_history("energy", session)
    assert [past["content"] for past in history] == ["What is WAPP?", reply]


def test_nobody_chooses_the_redis_server_by_a_query(web: TestClient) -> None:
    """The dependency adds no parameters of its own to the endpoint."""
    parameters = web.get("/openapi.json").json()["paths"]["/chat"]["post"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == {"authorization"}


def test_a_job_is_taken_in_and_can_be_fetched(web: TestClient, new: dict[str, str]) -> None:
    """202 with the place to look; there, in time, the answer."""
    taken = web.post("/jobs", json=new)
    assert taken.status_code == 202, taken.text
    slot = taken.headers["Location"]
    assert slot == f"/jobs/{taken.json()['job_id']}"
    wait_until(
        lambda: web.get(slot).json()["state"] == "answered", timeout_s=WAIT_S, what="an answer"
    )
    assert "What is WAPP?" in web.get(slot).json()["result"]["response"]


def test_the_same_idempotency_key_is_the_same_job(web: TestClient, new: dict[str, str]) -> None:
    """A client that did not see the answer may send again."""
    headers = {"Idempotency-Key": "order-66"}
    first, second = (web.post("/jobs", json=new, headers=headers).json() for _ in range(2))
    assert first["job_id"] == second["job_id"]


def test_a_job_that_failed_says_why(web: TestClient, new: dict[str, str]) -> None:
    """State and reason, without a word of the message."""
    job = chat_task.delay(**kept(new), model="missing")
    wait_until(
        lambda: web.get(f"/jobs/{job.id}").json()["state"] == "failed",
        timeout_s=WAIT_S,
        what="a failure",
    )
    assert "missing" in web.get(f"/jobs/{job.id}").json()["error"]


def test_a_job_that_nobody_knows_is_not_found(web: TestClient, new: dict[str, str]) -> None:
    """404; a job that waits for another's answer is found, and so is one that was cancelled."""
    assert web.get(f"/jobs/{uuid.uuid4()}").status_code == 404
    assert web.get(f"/jobs/{'x' * 2000}").status_code == 422
    running, waiting = (
        chat_task.delay(**kept(new), model="delay:1s"),
        web.post("/jobs", json=new).json(),
    )
    assert web.get(f"/jobs/{running.id}").json()["state"] == "waiting"
    slot = f"/jobs/{waiting['job_id']}"
    assert web.get(slot).json() == {"job_id": waiting["job_id"], "state": "waiting"}
    chat_task.cancel(waiting["job_id"])
    assert web.get(slot).json()["state"] == "cancelled"


@pytest.mark.parametrize("wrong", [{"message": ""}, {"session_id": ""}, {"message": "x" * 40_000}])
def test_a_wrong_job_is_the_callers_mistake(
    web: TestClient, new: dict[str, str], wrong: dict[str, str]
) -> None:
    """422, and nothing was sent."""
    answer = web.post("/jobs", json=new | wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["detail"]


def test_a_full_session_asks_the_caller_to_wait(web: TestClient, new: dict[str, str]) -> None:
    """429 with Retry-After once CHAT_MAX_PENDING jobs wait."""
    # Longer than all the others take to send.
    chat_task.delay(**kept(new), model=f"delay:{scaled(20):.0f}s")
    for _ in range(DEFAULT_MAX_PENDING - 1):
        chat_task.delay(**kept(new))
    answer = web.post("/jobs", json=new)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_an_outage_of_redis_is_told(
    web: TestClient, new: dict[str, str], valkey: ValkeyServer
) -> None:
    """503 with Retry-After; the same request is accepted when Redis is back."""
    headers = {"Idempotency-Key": "during-the-outage"}
    valkey.kill()
    answer = web.post("/jobs", json=new, headers=headers)
    looked = web.get(f"/jobs/{uuid.uuid4()}")
    valkey.start()
    assert (answer.status_code, looked.status_code) == (503, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert web.post("/jobs", json=new, headers=headers).status_code == 202
