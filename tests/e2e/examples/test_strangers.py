"""What strangers try with the web example, which is what people copy: each door stays closed."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from pydantic import SecretStr

from examples.fastapi_app import app
from examples.guard import MAX_BODY_BYTES
from examples.settings import WebSettings, tokens, users_in
from memory import Mailbox, get_redis_memory, users
from tests.support.web_users import OTHER, TOKENS, USER, bearer

pytestmark = pytest.mark.usefixtures("valkey")
SENDING = "/jobs"
OURS = "http://localhost"
Client = Callable[..., TestClient]


@pytest.fixture
def client() -> Iterator[Client]:
    """Makes clients of the example, of a user or of nobody."""
    opened: list[TestClient] = []

    def make(user: str | None = USER, **headers: str) -> TestClient:
        own = bearer(user) if user else {}
        opened.append(TestClient(app, base_url=OURS, headers={**own, **headers}))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def new() -> dict[str, str]:
    """A message for a session of the test's own."""
    return {"agent_id": "energy", "session_id": f"s-{uuid.uuid4()}", "message": "a wondrous word"}


def waiting(user: str, new: dict[str, str]) -> list[str]:
    """The jobs that wait in a session of a user."""
    memory = get_redis_memory()
    session = f"{user}~{new['session_id']}"
    return memory.connection.run(Mailbox.of(memory.keyspace, "energy", session).pending())


def job_of(answer: Response) -> str:
    """The job that was taken in."""
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def endpoints() -> list[tuple[str, str]]:
    """Each method and path that an example has of its own, with ids in it."""
    ids = {"agent_id": "energy", "session_id": "s", "job_id": str(uuid.uuid4())}
    paths = app.openapi()["paths"]
    return [(method, path.format_map(ids)) for path, methods in paths.items() for method in methods]


def test_nobody_gets_in_without_a_token(client: Client, new: dict[str, str]) -> None:
    """401 at every endpoint, for no token, a wrong one, and one in the query or a cookie."""
    asked = endpoints()
    assert len(asked) >= 3
    for method, path in asked:
        cookie = f"griot_token={TOKENS[USER]}"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": cookie}):
            url = f"{path}?token={TOKENS[USER]}"
            answer = client(None).request(method, url, headers=headers, json=new)
            assert answer.status_code == 401, (method, path)
            assert "wondrous" not in answer.text
    assert waiting(USER, new) == []


def test_a_foreign_host_is_refused(client: Client, new: dict[str, str]) -> None:
    """A name that an attacker has pointed here (DNS rebinding) serves and sends nothing."""
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io"):
        stranger = client(USER, Host=host)
        assert stranger.post(SENDING, json=new).status_code == 400
        assert stranger.get("/").status_code == 400
    assert waiting(USER, new) == []
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
        assert client(USER, Host=host).post(SENDING, json=new).status_code == 202


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Origin": OURS, "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Content-Type": "application/json; charset=utf-8"}, 202),
    ],
    ids=str,
)
def test_a_page_of_another_site_sends_nothing(
    client: Client, new: dict[str, str], headers: dict[str, str], status: int
) -> None:
    """By `Origin`, and by a body that a form can send."""
    browser = client()
    json_ = {"Content-Type": "application/json"}
    body = f'{{"agent_id": "energy", "session_id": "{new["session_id"]}", "message": "hi"}}'
    answer = browser.post(SENDING, content=body, headers={**json_, **headers})
    assert answer.status_code == status
    assert len(waiting(USER, new)) == (status == 202)


def test_a_body_is_bounded(client: Client, new: dict[str, str]) -> None:
    """413 for one byte too many, with a length or without; nothing is sent."""
    fitting = f'{{"agent_id": "{"a" * MAX_BODY_BYTES}'.encode()[:MAX_BODY_BYTES]
    headers = {"Content-Type": "application/json"}

    def pieces(whole: bytes) -> Iterator[bytes]:
        yield from (whole[start : start + 65_536] for start in range(0, len(whole), 65_536))

    for body, status in ((fitting, 422), (fitting + b"a", 413), (fitting * 4, 413)):
        for content in (body, pieces(body)):
            answer = client().post(SENDING, content=content, headers=headers)
            assert answer.status_code == status


def test_the_message_is_never_taken_from_the_query(client: Client, new: dict[str, str]) -> None:
    """Which access logs keep, and a link can have."""
    for path in (SENDING, "/chat"):
        assert client().post(path, params=new).status_code == 422
    assert waiting(USER, new) == []


def test_a_session_and_its_jobs_are_those_of_one_user(client: Client, new: dict[str, str]) -> None:
    """The same session id is another session for another user; the job is one that nobody knows."""
    job_id = job_of(client().post(SENDING, json=new))
    other = client(OTHER)
    assert other.get(f"/jobs/{job_id}").status_code == 404
    assert client().get(f"/jobs/{job_id}").json()["state"] == "waiting"
    job_of(other.post(SENDING, json=new))
    assert len(waiting(OTHER, new)) == 1
    memory = get_redis_memory()
    found = users.sessions_of_user(memory.connection, memory.keyspace, OTHER)
    assert f"{OTHER}~{new['session_id']}" in {one.session_id for one in found}


@pytest.mark.parametrize(
    "given", ["ama", "ama=short", "a~b=0123456789abcdef", "ama=0123456789abcde;", "=" + "x" * 20]
)
def test_users_that_are_none_are_refused_unquoted(given: str) -> None:
    """A token that can be guessed, and a name that could be another's session."""
    with pytest.raises(ValueError, match="user=token") as refused:
        users_in(SecretStr(given))
    assert given not in str(refused.value)


def test_who_names_no_users_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a token that is made at the start and printed once."""
    monkeypatch.setenv("WEB_USERS", "")
    tokens.cache_clear()
    ((user, token),) = tokens().items()
    assert tokens() == {user: token}
    assert (user, len(token) >= 32) == ("me", True)
    assert capsys.readouterr().err.count(token) == 1
    assert WebSettings().users.get_secret_value() == ""
    tokens.cache_clear()
