"""The fixtures. Everything behind them is imported when one of them is used."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_griot.eager import EagerGriot
    from pytest_griot.fake_redis import FakeRedis
    from pytest_griot.model import ScriptedModel
    from pytest_griot.session import GriotSession
    from pytest_griot.setup import GriotSetup
    from sandbox.ollama import OllamaStandIn
    from sandbox.valkey import ValkeyServer

EXTRAS = "pip install './griot[sandbox,worker]'"
SCOPES = ("session", "package", "module", "class", "function")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `griot_scope`."""
    parser.addini(
        "griot_scope",
        f"how long the servers of griot_setup live: {', '.join(SCOPES)}",
        default="session",
    )


def _scope(fixture_name: str, config: pytest.Config) -> str:
    scope = str(config.getini("griot_scope"))
    if scope not in SCOPES:
        raise pytest.UsageError(f"griot_scope={scope}: must be one of {', '.join(SCOPES)}")
    return scope


def _part(name: str, needed_by: str) -> ModuleType:
    """A module of this package, imported now; the test fails with a word where an extra lacks."""
    try:
        return import_module(f"pytest_griot.{name}")
    except ModuleNotFoundError as exc:
        missing = exc.name
    pytest.fail(f"{needed_by} needs the package {missing}: {EXTRAS}", pytrace=False)


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]  # pytest's type knows no names made later
def griot_settings() -> Mapping[str, str]:
    """Griot's settings for the worker and for tests, by the names of the environment.

    Override it in a conftest.py: profiles (AGENT_PROFILES), the model (OLLAMA_MODEL), limits. What
    the environment of the tests itself says of Griot counts for nothing.
    """
    return {}


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def griot_directory(tmp_path_factory: pytest.TempPathFactory) -> "Path":
    """Where the processes run and write their logs: `worker.log` and the like."""
    return tmp_path_factory.mktemp("griot")


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def griot_redis(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ValkeyServer]":
    """A Valkey on a free port, in a directory of its own. Override it for another port."""
    with _part("servers", "griot_redis").redis_server() as server:
        yield server


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def griot_model_server() -> "Iterator[OllamaStandIn]":
    """The stand-in for Ollama that `scripted_model` scripts, in a thread of the tests."""
    with _part("servers", "griot_model_server").model_server() as server:
        yield server


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def griot_servers(
    griot_redis: "ValkeyServer",
    griot_model_server: "OllamaStandIn",
    griot_directory: "Path",
    griot_settings: Mapping[str, str],
) -> "Iterator[GriotSetup]":
    """pytest-celery's CeleryTestSetup with the servers and no worker yet: `add_worker` starts one.

    It changes nothing in the process of the tests.
    """
    setup = _part("setup", "griot_servers").GriotSetup(
        griot_directory, griot_redis, griot_model_server, griot_settings
    )
    try:
        yield setup
    finally:
        setup.teardown()


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def griot_setup(griot_servers: "GriotSetup") -> "GriotSetup":
    """`griot_servers` with one worker that consumes the chat queues."""
    griot_servers.add_worker()
    return griot_servers


@pytest.fixture
def griot_stack(griot_setup: "GriotSetup") -> "Iterator[GriotSetup]":
    """`griot_setup`, and for the length of the test this process uses its servers.

    `chat_task.delay`, `get_redis_memory()` and the like then go there. The servers and the worker
    are started once per `griot_scope` (an ini option, default: session) and per process of xdist.
    """
    with griot_setup.used_here():
        yield griot_setup


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def griot_fake_redis() -> "Iterator[FakeRedis]":
    """fakeredis in a thread of the tests, at an address of its own."""
    with _part("fake_redis", "griot_eager").FakeRedis() as server:
        yield server


@pytest.fixture
def griot_eager(
    griot_fake_redis: "FakeRedis",
    griot_model_server: "OllamaStandIn",
    griot_settings: Mapping[str, str],
) -> "Iterator[EagerGriot]":
    """Griot without servers and without a worker, for the length of the test.

    Celery's `task_always_eager` is on: `chat_task.delay` returns when the job is over, with the
    result or the error that a worker would have given it. Redis is fakeredis, new for each test.
    """
    hidden = _part("here", "griot_eager").hidden_tasks()
    if hidden is not None:
        pytest.fail(
            f"griot_eager runs Griot's package `tasks` in this process, and {hidden} hides it: use "
            "griot_stack, and send jobs by name",
            pytrace=False,
        )
    eager = _part("eager", "griot_eager").EagerGriot
    with eager(griot_fake_redis, griot_model_server.url, griot_settings) as griot:
        yield griot


@pytest.fixture
def scripted_model(griot_model_server: "OllamaStandIn") -> "Iterator[ScriptedModel]":
    """What the model answers, and what it was shown; for `griot_stack` and `griot_eager` alike.

    A test that leaves some of its script unused fails.
    """
    model: ScriptedModel = _part("model", "scripted_model").ScriptedModel(griot_model_server)
    model.clear()
    yield model
    unused = model.unused
    model.clear()
    if unused:
        pytest.fail(f"the model was asked too seldom: {unused} of its replies are left over")


@pytest.fixture
def griot_session(request: pytest.FixtureRequest) -> "GriotSession":
    """A session of the test's own, on `griot_eager` where the test uses that, else `griot_stack`.

    History in, history out: see `pytest_griot.session.GriotSession`.
    """
    mode = "griot_eager" if "griot_eager" in request.fixturenames else "griot_stack"
    app = request.getfixturevalue(mode).app
    session: GriotSession = _part("session", "griot_session").GriotSession(app)
    return session
