"""Places where others look: what each of them shows, for the privacy tests."""

import json

import httpx
import psutil
from click.testing import CliRunner

from sandbox.collector import Collector
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import app, schedules
from tests.support.machine import scaled
from tests.support.privacy.setup import Setup
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python
from worker.cli import main

WAIT_S = scaled(60)


def pages(flower: httpx.Client, setup: Setup) -> dict[str, str]:
    """What Flower shows."""
    paths = ["/", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/workers?refresh=1"]
    paths += [f"/worker/{name}" for name in flower.get("/api/workers").json()]
    # The page of a task shows what /api/tasks has of it.
    paths += [f"/task/{job_id}" for job_id in (*setup.job_ids[:3], *setup.held)]
    return {path: flower.get(path).text for path in paths}


def inspected(setup: Setup) -> dict[str, str]:
    """What a worker tells whoever inspects it."""
    with app.connection_for_write() as connection:
        inspect = app.control.inspect(timeout=scaled(5), connection=connection, limit=1)
        wait_until(
            lambda: all(one in json.dumps(inspect.active()) for one in setup.held),
            what="the jobs that are held are active",
        )
        found = {
            f"inspect {name}": getattr(inspect, name)()
            for name in ("active", "reserved", "scheduled", "conf", "stats", "registered")
        }
        found["inspect query_task"] = inspect.query_task(*setup.held, *setup.job_ids)
        found["inspect revoked"] = inspect.revoked()
    return {name: json.dumps(answer, default=repr) for name, answer in found.items()}


def told(stack: GriotStack) -> dict[str, str]:
    """What commands print."""
    report = run_python(
        "-m", "celery", "-A", "worker", "report",
        env=stack.env, cwd=stack.directory, timeout_s=WAIT_S,
    ).stdout  # fmt: skip
    commands = (["status"], ["check"], ["dead-letters", "list"], ["sessions", "energy"])
    outputs = {f"griot {one[0]}": CliRunner().invoke(main, one).output for one in commands}
    return {"celery report": report, **outputs}


def spans(collected: Collector) -> str:
    """All that was sent to a collector."""
    return b"\n".join(list(collected.bodies)).decode("latin-1")


def titles(worker: ServerProcess) -> str:
    """What a list of processes shows of a worker."""
    process = psutil.Process(worker.pid)
    family = [process, *process.children(recursive=True)]
    return "\n".join(" ".join([one.name(), *one.cmdline()]) for one in family)


def gateway(setup: Setup) -> dict[str, str]:
    """What a gateway tells an operator, and receivers of webhooks were told."""
    paths = ("/v1/console?slow=true", "/v1/queue", "/v1/dead_letters", "/v1/sessions", "/readyz")
    shown = {f"gateway {path}": setup.http.get(path).text for path in paths}
    return shown | {
        f"what a receiver that {name} was told": "\n".join(
            f"{one.headers} {one.body.decode()}" for one in list(receiver.got)
        )
        for name, receiver in setup.hooks.items()
    }


def wait_until_told(setup: Setup) -> None:
    """Wait until receivers have heard of jobs, and each schedule has sent one."""
    wait_until(
        lambda: all(one.got for one in setup.hooks.values()),
        timeout_s=WAIT_S, what="receivers are told",
    )  # fmt: skip
    wait_until(
        lambda: all(schedules.find(one).last_s for one in setup.scheduled),
        timeout_s=WAIT_S, what="schedules have sent",
    )  # fmt: skip
