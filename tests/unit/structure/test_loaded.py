"""What a process loads before it does anything: what its own work takes, and nothing besides.

Modules are counted and named, not timed: each costs a start its time and every process its memory.
"""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from worker.start.unused import UNUSED

ROOT = Path(__file__).resolve().parents[3]

OF_MODEL_SERVERS = ("httpx", "aiohttp", "httpx_aiohttp", "yarl", "rich", "pygments")
OF_THE_GATEWAY = ("fastapi", "starlette", "uvicorn", "gateway")
OF_OPERATORS = ("prompt_toolkit", "matplotlib", "plotext", "flower", "tornado", "worker", "sandbox")
OF_TURNS = (
    "uvloop",
    "llm.http",
    "llm.servers",
    "llm.service",
    "agents.toolbox",
    "agents.tool_rounds",
    "memory.service",
    "memory.upkeep",
    "memory.slots",
    "memory.outages",
    "tasks.attempt",
    "tasks.beat",
    "tasks.eager",
    "tasks.process.worker",
    "tasks.turn",
    "webhooks.posting",
)
NOT_OF_A_PRODUCER = (*OF_MODEL_SERVERS, *OF_THE_GATEWAY, *OF_OPERATORS, *OF_TURNS)
MOST_OF_A_PRODUCER = 830
"""751 with what `griot[queue]` brings, 824 with all that the tests use; 1189 before."""

MOST_OF_A_WORKER = 1150
"""Without what `celery` loads before it loads us: Flower, and the prompt of its shell."""

FACES = ("agents", "llm", "memory")


def loaded_by(*codes: str) -> list[set[str]]:
    """The modules of one new process when it has run each of these."""
    shown = "".join(f"{code}\nimport sys\nprint(*sys.modules)\n" for code in codes)
    command = (sys.executable, "-c", shown)
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [set(line.split()) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def of_a_worker() -> list[set[str]]:
    """The modules of a worker: of its command, then with all that Celery loads, and then with what
    a tool may ask for."""
    return loaded_by(
        "import worker.start.commands",
        "worker.app.loader.import_default_modules()\n"
        "import gc\nassert gc.get_threshold()[0] == worker.heap.STARTING",
        "import yaml, pygments, opentelemetry.sdk",
    )


def test_a_producer_loads_nothing_that_runs_jobs() -> None:
    """No client of model servers, no turn, no tool, no web server; and few modules in all."""
    for loaded in loaded_by("from tasks import chat_task", "import tasks.aio"):
        begins = tuple(f"{name}." for name in NOT_OF_A_PRODUCER)
        unneeded = {one for one in loaded if one in NOT_OF_A_PRODUCER or one.startswith(begins)}
        assert unneeded == set()
        assert len(loaded) <= MOST_OF_A_PRODUCER


@pytest.mark.parametrize("state", ["enable", "disable"])
def test_a_producer_finds_the_collector_as_it_was(state: str) -> None:
    """It rests only while `tasks` is loaded, also where that fails."""
    code = f"""
import gc, sys
gc.{state}()
sys.modules["tasks.chat"] = None
try:
    import tasks
except ImportError:
    assert gc.isenabled() is {state == "enable"}
    del sys.modules["tasks.chat"]
import tasks.chat
assert gc.isenabled() is {state == "enable"}"""
    loaded_by(code)


def test_nobody_looks_through_what_a_producer_has_loaded() -> None:
    """Neither while it is loaded nor right after it."""
    loaded_by("""
import gc
young = []
gc.callbacks.append(lambda phase, _: young.append(len(gc.get_objects(0))))
import tasks
begins = [[] for _ in range(2000)]
assert max(young) < 5000, max(young)""")


def test_a_producer_leaves_frozen_what_its_service_froze() -> None:
    """A few of these objects go by themselves; none becomes one to look through again."""
    loaded_by("""
import gc, celery.app
gc.freeze()
frozen = gc.get_freeze_count()
import tasks
assert 0.9 * frozen < gc.get_freeze_count() <= frozen, (frozen, gc.get_freeze_count())""")


def test_a_worker_knows_every_task_before_its_first_message() -> None:
    """What Celery loads at a worker's start registers them, with the body of the chat task."""
    (loaded,) = loaded_by("from tasks import app\napp.loader.import_default_modules()")
    names = ("tasks.attempt.body", "tasks.beat.maintenance", "tasks.beat.sweep", "tasks.embeddings")
    assert loaded >= {*names}


def test_a_worker_loads_no_gateway_and_no_command_line_of_ours(
    of_a_worker: list[set[str]],
) -> None:
    """Nor that of its HTTP client, what draws charts, and the SDK of traces that nobody set up."""
    _, loaded, _ = of_a_worker
    begins = (*OF_THE_GATEWAY[:3], "rich", "prompt_toolkit", "matplotlib", "plotext")
    begins += (
        "flower",
        "httpx",
        "prometheus_client",
        "http.server",
        "sandbox",
        "worker.cli",
        "worker.traces.sdk",
        "opentelemetry.exporter",
    )
    found = {one for one in loaded for name in begins if one == name or one.startswith(f"{name}.")}
    assert found == set()
    assert len(loaded) <= MOST_OF_A_WORKER


def test_a_worker_asks_model_servers_with_the_client_of_its_turns() -> None:
    """Another would load httpcore and anyio, and trio where it is installed: 5 MB."""
    code = """
from llm import LLMSettings
from worker.model_servers import model_servers
(server,) = model_servers(LLMSettings(_env_file=None, base_url="http://127.0.0.1:9"))
assert server.trouble"""
    (loaded,) = loaded_by(code)
    assert not {"httpcore", "anyio", "trio"} & loaded


def test_what_no_worker_uses_is_found_by_whoever_asks_later(of_a_worker: list[set[str]]) -> None:
    """Spans need OpenTelemetry's SDK, a tool may need any of them."""
    at_first, _, later = of_a_worker
    assert not {*UNUSED} & at_first
    assert later >= {"yaml", "pygments", "opentelemetry.sdk"}


@pytest.mark.parametrize("package", FACES)
def test_a_face_offers_what_it_names(package: str) -> None:
    """Every name is there, from where the types say it is, and no other name is."""
    face = import_module(package)
    (typed,) = (
        node
        for node in ast.parse(Path(str(face.__file__)).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    found = {
        name.name: getattr(import_module(str(node.module)), name.name, None)
        or import_module(f"{node.module}.{name.name}")
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert {name: getattr(face, name) for name in found} == found
    assert all(hasattr(face, name) for name in face.__all__)
    assert not hasattr(face, "no_such_name")
