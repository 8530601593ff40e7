"""From the start of a worker's process to its first call of the model; what a producer imports."""

import subprocess
import sys
import time

from bench.arena import Arena
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size

_IMPORT = """
import time
cpu_s, began_s = time.process_time(), time.perf_counter()
import tasks
print(time.perf_counter() - began_s, time.process_time() - cpu_s)
"""


def measure(arena: Arena, size: Size) -> list[Row]:
    """A job is waiting when the worker is started; the import is that of a program of its own."""
    return [_first_job(arena, size), _import(arena, size)]


def _first_job(arena: Arena, size: Size) -> Row:
    taken_s = []
    for _ in range(size.starts):
        session = arena.new_run()
        arena.model.reset()
        arena.producer.fill([session])
        began = time.monotonic()
        # The warm-up within waits until the worker works.
        with arena.chat_worker():
            taken_s.append(arena.model.calls()[0].started_s - began)
        arena.say(f"start: {taken_s[-1]:.2f} s")
    what, target = "worker start to first job", Target(2.0, 0.6)
    return Row("start", what, median(taken_s), "s", target, spread(taken_s, "s"))


def _import(arena: Arena, size: Size) -> Row:
    taken_s, cpu_s = [], []
    for _ in range(size.starts + 1):  # the first one may compile
        said = subprocess.run(
            (sys.executable, "-c", _IMPORT),
            env=arena.griot.env,
            cwd=arena.directory,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.split()
        taken_s.append(float(said[0]))
        cpu_s.append(float(said[1]))
    what, target = "import of `tasks` in a producer", Target(1.0, 0.25)
    behind = f"{spread(taken_s[1:], 's')}, CPU {shown(median(cpu_s[1:]))} s"
    return Row("start", what, median(taken_s[1:]), "s", target, behind)
