"""A run as Redis' users fails where one of them was refused something: no test has to look."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import tests.conftest as whole_suite
from deploy.redis_users.acl_file import acl_file
from sandbox.errors import ReplyError
from sandbox.resp import RespConnection
from sandbox.users import Users
from sandbox.valkey import ValkeyServer
from tests.support.servers import redis_users
from tests.support.servers.redis_users import filled


def test_what_a_user_is_refused_is_noted_when_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a kill; what a user of a test's own is refused is not."""
    path = tmp_path / "users.acl"
    path.write_text(filled(acl_file()))
    users = Users(path)
    with ValkeyServer(users=users) as server:
        server.command("ACL", "SETUSER", "somebody", "on", ">x", "+ping")
        for user, password in (("griot-producer", "griot-producer"), ("somebody", "x")):
            with RespConnection(server.port) as connection:
                connection.command("AUTH", user, password)
                with pytest.raises(ReplyError, match="NOPERM"):
                    connection.command("FLUSHALL")
        server.kill()
    (line,) = users.refusals_file.read_text().splitlines()
    assert line.startswith("griot-producer: command 'flushall'")
    monkeypatch.setattr(redis_users, "users_of_tests", lambda: users)
    monkeypatch.setenv(redis_users.MAKER, "1")
    assert redis_users.refusals() == "", "another process began the run"


@pytest.mark.parametrize("refused", ["", "griot-producer: command 'flushall'\n"])
def test_a_run_with_a_refusal_fails(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """Though every test has passed."""
    monkeypatch.setattr(whole_suite, "refusals", lambda: refused)
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    whole_suite.pytest_sessionfinish(session)  # type: ignore[arg-type]  # all that it looks at
    assert session.exitstatus == (pytest.ExitCode.TESTS_FAILED if refused else pytest.ExitCode.OK)
