"""Griot's wheel, installed beside a service of somebody else."""

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.support.wheel import Environment, installed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("agents", "children", "gateway", "llm", "memory"),
    *("pytest_griot", "sandbox", "tasks", "telemetry", "webhooks", "worker"),
)
LET_IN = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
"""What the Docker image is built from."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With the wheel of this repository."""
    return installed(ROOT, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With the wheel that is built for the Docker image."""
    directory = tmp_path_factory.mktemp("image")
    context = directory / "context"
    for name in LET_IN:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, context / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, context / name)
    return installed(context, directory)


def names_in(wheel: Path) -> set[str]:
    """The files of a wheel, but for what describes it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    return {name for name in names if ".dist-info/" not in name}


def test_the_wheel_has_the_packages_and_nothing_that_others_would_find(whole: Environment) -> None:
    """Scripts, profiles, types and settings lie in the packages; beside them only `griot.py`."""
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    moved = {"tasks/celeryconfig.py", "worker/cli/Procfile", "griot.py"}
    assert names_in(whole.wheel) == files | moved
    assert {f"{package}/py.typed" for package in PACKAGES} <= files


TWO_APPS = """
    from importlib.util import find_spec
    import celery, tasks

    def facts(conf):
        routes = sorted(conf.task_routes or ())
        return [conf.task_default_queue, routes, list(conf.accept_content), conf.worker_pool]

    told = {{
        "tasks": tasks.__file__,
        "theirs": facts({app}.conf),
        "ours": facts(tasks.chat_task.app.conf),
        "celeryconfig": getattr(find_spec("celeryconfig"), "origin", None),
    }}
"""
DEFAULT_APP = "celery.current_app"
"""Celery's own, whose loader takes any celeryconfig that it finds; `shared_task` leads to it."""

OURS = [
    "celery",
    ["tasks.chat_task", "tasks.embed_texts", "tasks.maintenance.*", "tasks.sweep"],
    ["json"],
    "worker.pool:LoopPool",
]


@pytest.mark.parametrize("app", [DEFAULT_APP, 'celery.Celery(config_source="celeryconfig")'])
def test_a_service_and_griot_each_read_their_own_celeryconfig(
    whole: Environment, tmp_path: Path, app: str
) -> None:
    """In one process, where the service's is first on the path."""
    (tmp_path / "celeryconfig.py").write_text(
        'task_default_queue = "bills"\ntask_routes = {"bills.*": {}}\n'
        'accept_content = ["yaml"]\nworker_pool = "solo"\n'
    )
    told = whole.told(TWO_APPS.format(app=app), tmp_path)
    assert Path(str(told["tasks"])).is_relative_to(whole.directory)
    assert told["theirs"] == ["bills", ["bills.*"], ["yaml"], "solo"]
    assert told["ours"] == OURS


def test_a_service_without_a_celeryconfig_does_not_get_ours(
    whole: Environment, tmp_path: Path
) -> None:
    """A celeryconfig at the top of our wheel would be taken for it."""
    told = whole.told(TWO_APPS.format(app=DEFAULT_APP), tmp_path)
    assert told["celeryconfig"] is None
    assert told["theirs"] == ["celery", [], ["json"], "prefork"]
    assert told["ours"] == OURS


def test_a_service_with_its_own_tasks_sends_by_name(whole: Environment, tmp_path: Path) -> None:
    """Its package hides ours; the queue that its message goes to is one of our workers'."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("")
    told = whole.told(
        """
        import celery, memory, tasks
        app = celery.Celery("theirs", broker="memory://")
        job = {"agent_id": "energy", "session_id": "s", "message": "Hello"}
        app.send_task("tasks.chat_task", kwargs=job)
        with app.connection_for_read() as connection:
            sent = connection.default_channel.basic_get("celery", no_ack=True)
        told = {
            "places": [tasks.__file__, memory.__file__],
            "message": [sent.headers["task"], sent.content_type],
        }
        """,
        tmp_path,
    )
    theirs, ours = (Path(place) for place in told["places"])
    assert theirs.is_relative_to(tmp_path)
    assert ours.is_relative_to(whole.directory)
    assert told["message"] == ["tasks.chat_task", "application/json"]


def test_the_installed_command_has_what_it_needs(whole: Environment, tmp_path: Path) -> None:
    """`griot demo` is offered, and `griot up` has its Procfile."""
    assert "griot demo" in whole.run("griot", "--help", cwd=tmp_path).stdout
    told = whole.told("from worker.cli.up import PROCFILE\ntold = {'at': str(PROCFILE)}", tmp_path)
    procfile = Path(str(told["at"]))
    assert procfile.is_relative_to(whole.directory)
    assert procfile.read_text() == (ROOT / "Procfile").read_text()


ANSWERS = """
    import worker
    from click.testing import CliRunner
    from worker.cli import main

    def answer(*arguments):
        ended = CliRunner().invoke(main, arguments)
        return [ended.exit_code, ended.stdout, ended.stderr]

    told = {
        "help": [answer(*words, "--help") for words in ((), ("up",), ("check",))],
        "refused": [answer("demo"), answer("up", "--sandbox")],
        "pool": worker.app.conf.worker_pool,
    }
"""


def test_the_image_does_without_the_sandbox(image: Environment, tmp_path: Path) -> None:
    """A worker runs; the command offers nothing that needs it, and says what to install."""
    packed = {name.partition("/")[0] for name in names_in(image.wheel)}
    assert packed == {*PACKAGES, "griot.py"} - {"sandbox"}
    told = image.told(ANSWERS, tmp_path)
    assert told["pool"] == "worker.pool:LoopPool"
    for code, shown, _ in told["help"]:
        assert (code, "demo" in shown, "sandbox" in shown) == (0, False, False)
    reason = "needs Griot's sandbox, which is left out here: pip install './griot[sandbox]'\n"
    assert told["refused"] == [
        [1, "", f"griot: `griot demo` {reason}"],
        [1, "", f"griot: `griot up --sandbox` {reason}"],
    ]
