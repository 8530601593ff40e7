"""Griot's pytest plugin costs nothing until it is used, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from memory import get_redis_memory
from pytest_griot import here
from pytest_griot.eager import EagerGriot
from pytest_griot.model import ScriptedModel
from tasks import JobExpired, JobTimeout, aio, app, chat_task
from tasks.process.anew import read_settings_again
from tasks.process.configuration import load_settings
from tests.support.machine import scaled
from tests.support.warm.python import run_python

HEAVY = (
    "celery kombu redis aiohttp httpx pydantic fakeredis pytest_celery docker sandbox tasks memory"
)
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_griot.plugin"}
LIGHT = f"""
import sys
import pytest_griot.plugin
brought = set({HEAVY.split()}) & set(sys.modules)
assert not brought, brought
"""


def ran(
    tmp_path: Path, text: str, *options: str, is_cold: bool = False, **files: str
) -> "subprocess.CompletedProcess[str]":
    """One test file in a project of its own, with no plugin but ours; `is_cold` where it matters
    that nothing of Griot is imported."""
    (tmp_path / "test_it.py").write_text(text, "utf-8")
    for name, content in files.items():
        (tmp_path / f"{name}.py").write_text(content, "utf-8")
    arguments, env = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *options), os.environ | ALONE
    if not is_cold:
        return run_python(*arguments, env=env, cwd=tmp_path, timeout_s=scaled(60))
    return subprocess.run(
        (sys.executable, *arguments), cwd=tmp_path, env=env, capture_output=True, text=True,
        timeout=scaled(60), check=False,
    )  # fmt: skip


def test_the_plugin_imports_nothing_that_costs() -> None:
    """pytest loads it at each start, in every project that has Griot installed."""
    subprocess.run((sys.executable, "-c", LIGHT), check=True, timeout=scaled(30))


@pytest.mark.parametrize(
    ("fixture", "package"),
    [("griot_stack", "pytest_celery"), ("griot_eager", "fakeredis")],
)
def test_an_extra_that_is_missing_is_named(tmp_path: Path, fixture: str, package: str) -> None:
    """The test that wants the fixture fails with the command that helps; no other does."""
    text = f"def test_one({fixture}): pass\ndef test_two(): pass"
    hidden = f"import sys\nsys.modules[{package!r}] = None"
    done = ran(tmp_path, text, conftest=hidden)
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert f"the package {package}: pip install './griot[sandbox,worker]'" in done.stdout


def test_a_hidden_tasks_is_named(tmp_path: Path) -> None:
    """The eager mode would import somebody else's package."""
    done = ran(tmp_path, "def test_one(griot_eager): pass", is_cold=True, tasks="")
    assert f"{tmp_path / 'tasks.py'} hides it: use griot_stack" in done.stdout.replace("\n", " ")


def test_a_scope_that_is_none_is_refused(tmp_path: Path) -> None:
    """With those that there are."""
    done = ran(tmp_path, "def test_one(griot_eager): pass", "-o", "griot_scope=year")
    assert "griot_scope=year: must be one of session" in done.stdout + done.stderr


def test_a_script_that_is_left_over_fails_its_test(tmp_path: Path) -> None:
    """Or a model that is asked too seldom would pass unseen."""
    text = "def test_one(griot_eager, scripted_model): scripted_model.reply('a', 'b')"
    done = ran(tmp_path, text)
    assert "asked too seldom: 2 of its replies are left over" in done.stdout


def test_a_prompt_that_is_another_is_shown(
    griot_eager: EagerGriot, scripted_model: ScriptedModel
) -> None:
    """Both of them, line by line."""
    del griot_eager
    chat_task.delay("energy", "s", "Hello", system_prompt="Be brief.")
    scripted_model.assert_shown(("system", "Be brief."), ("user", "Hello"))
    with pytest.raises(AssertionError, match=r"shown\n  user: Hello\nand not\n  user: Bye"):
        scripted_model.assert_shown(("user", "Bye"))
    with pytest.raises(ValueError, match="no scenario 'cuts'"):
        scripted_model.play("cuts")
    scripted_model.clear()
    with pytest.raises(AssertionError, match="was not asked"):
        _ = scripted_model.last


def test_a_job_that_comes_too_late_expires_here_too(
    griot_eager: EagerGriot, scripted_model: ScriptedModel
) -> None:
    """As a worker would have it; the model is not asked."""
    del griot_eager
    scripted_model.reply("in time")
    late = chat_task.delay("energy", "too-late", "hello", expires="2026-01-01T00:00:00Z")
    with pytest.raises(JobExpired):
        late.get()
    assert chat_task.delay("energy", "too-late", "hello", expires=60).get()["response"] == "in time"


def test_a_turn_that_runs_too_long_is_stopped_here_too(
    griot_eager: EagerGriot, scripted_model: ScriptedModel
) -> None:
    """As a worker stops it; the next one is answered."""
    del griot_eager
    scripted_model.play("slow-tokens:400x50ms")
    late = chat_task.delay("energy", "too-long", "hello", timeout_s=0.2)
    with pytest.raises(JobTimeout):
        late.get()
    # On a busy machine the turn is stopped before it asks, and leaves its part of the script.
    scripted_model.clear()
    scripted_model.reply("in time")
    assert chat_task.delay("energy", "too-long", "and now?").get()["response"] == "in time"


async def test_a_job_sent_from_an_event_loop_is_answered_too(griot_eager: EagerGriot) -> None:
    """Before `aio.send` returns, and without holding the loop up."""
    del griot_eager
    sent = await aio.send("energy", "loop", "Hello")
    assert sent.state == "SUCCESS"
    await aio.aclose()


def test_the_process_has_its_own_settings_back() -> None:
    """Connections, Celery's configuration and the environment."""
    before = (dict(os.environ), load_settings().memory.url, app.conf.broker_url)
    with here.settings_here({"REDIS_URL": "redis://127.0.0.1:2/3", "CHAT_MAX_PENDING": "7"}):
        assert load_settings().queue.max_pending == 7
        assert app.conf.broker_url == "redis://127.0.0.1:2/4"
        inside = get_redis_memory()
    assert get_redis_memory() is not inside
    assert (dict(os.environ), load_settings().memory.url, app.conf.broker_url) == before
    assert not app.conf.task_always_eager


def test_the_services_own_env_file_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lead to a server that is in use."""
    (tmp_path / ".env").write_text("CHAT_MAX_PENDING=3\n", "utf-8")
    assert app.conf.broker_url, "Celery has read it: the block reads it anew at its end, from here"
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        with here.settings_here({"REDIS_URL": "redis://127.0.0.1:2/3"}):
            assert load_settings().queue.max_pending == 100
        assert load_settings().queue.max_pending == 3
    # The other tests of this process are not to work with that.
    read_settings_again()
    assert load_settings().queue.max_pending == 100


def test_the_worker_finds_griot_first() -> None:
    """Then what the tests can import, such as the tools of a service."""
    places = here.worker_path().split(os.pathsep)
    assert places[0] == str(Path(__file__).resolve().parents[3])
    assert {place for place in sys.path if place} <= set(places)
