"""What the dearest allowed inputs cost the event loop of all turns in one callback."""

import json
import subprocess
import sys

from bench.arena import Arena
from bench.rows import Row, Target, shown
from bench.size import Size
from sandbox.ports import free_port

PROFILE = """
[agents.dear]
tools = ["tests.support.dear.turns.repeat"]
"""
MOST = Target(now=50, goal=20)
TIMEOUT_S = 300
NAMED = 3


def measure(arena: Arena, _: Size) -> list[Row]:
    """The dearest callback of all inputs, by the CPU time of its thread."""
    profiles, port = arena.directory / "dear.toml", free_port()
    profiles.write_text(PROFILE, "utf-8")
    settings = {
        "AGENT_PROFILES": str(profiles),
        "OLLAMA_BASE_URL": f"http://127.0.0.1:{port}",
        "OLLAMA_HOST": "",
        "LLM_THINK_TAGS": "true",
        "AGENT_TOOL_CALLS_IN_TEXT": "true",
    }
    with (arena.directory / "dear.log").open("w") as log:
        done = subprocess.run(
            (sys.executable, "-m", "tests.support.dear.turns", str(port)),
            env={**arena.griot.env, **settings},
            cwd=arena.directory,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=TIMEOUT_S,
            check=True,
        )
    arena.forget()
    found = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda one: -one[1])
    for name, cpu_s, what, verdict in found:
        arena.say(f"dearest: {name} ({verdict}): {cpu_s * 1000:.1f} ms, {what}")
    detail = "; ".join(f"{name} {shown(cpu_s * 1000)} ms" for name, cpu_s, *_ in found[:NAMED])
    what = f"dearest callback of {len(found)} dear inputs"
    return [Row("dearest", what, found[0][1] * 1000, "ms", MOST, detail)]
