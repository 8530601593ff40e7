"""`griot worker` and `griot beat`: Celery's own commands, without all that `celery` loads besides.

Celery's command line loads each of its commands and their plugins before it runs one: Flower, and
a prompt, which a worker keeps as long as it lives. `celery -A worker worker` does the same.
"""

import sys
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from pathlib import Path

import click
from celery.bin.base import CLIContext
from celery.bin.beat import beat as celery_beat
from celery.bin.worker import worker as celery_worker

from worker import app

_WORKER_HELP = """Run a worker: it takes jobs, asks the models and keeps what they answer.

    It runs WORKER_CONCURRENCY turns at once, until it is stopped; then it lets them end. One of
    these does the work of the clock: give it the queue `maintenance`.

    \b
    Example:
      griot worker
      griot worker -Q maintenance -c 4 --hostname maintenance@%h
    """

_CONCURRENCY_HELP = "Turns at once; of -P processes, child processes. Default: WORKER_CONCURRENCY."

_BEAT_HELP = """Run the clock: it sends what is due to the maintenance worker. One is enough.

    \b
    Example:
      griot beat
    """


NO_COLOR = "NO_COLOR"
"""Whoever sets this variable wants no colours: no-color.org, and Celery's own name for it."""


def _keep(context: click.Context, option: click.Parameter, given: object) -> None:
    setattr(context.obj, str(option.name), given)


def _options() -> Iterator[click.Option]:
    """Those that `celery` itself has, in front of its command."""
    flag = partial(click.Option, is_flag=True, expose_value=False, callback=_keep)
    yield flag(["-C", "--no-color"], envvar=NO_COLOR)
    yield flag(["-q", "--quiet"], help="Print no banner.")


def _said_anew(option: click.Parameter) -> click.Parameter:
    """The same option; what Celery says of it is of another pool than ours."""
    if option.name != "concurrency":
        return option
    own = copy(option)
    vars(own).update(help=_CONCURRENCY_HELP)
    return own


def _command(of_celery: click.Command, says: str) -> click.Command:
    own, run = copy(of_celery), of_celery.callback
    vars(own).update(
        help=says,
        params=[*map(_said_anew, of_celery.params), *_options()],
        callback=None if run is None else partial(_run, run),
        context_settings={
            **of_celery.context_settings,
            "obj": CLIContext(app=app, no_color=False, workdir=None),
            "auto_envvar_prefix": f"CELERY_{str(of_celery.name).upper()}",
            "help_option_names": ["-h", "--help"],
        },
    )
    return own


def _run(run: Callable[..., object], *arguments: object, **options: object) -> object:
    # For the modules of tools; last, so that none there takes the place of one of ours.
    sys.path.append(str(Path.cwd()))
    if options.get("detach"):
        # Celery 5.7.0 starts `python -m celery` with what stands behind the name of this program.
        sys.argv[1:1] = ("-A", "worker")
    return run(*arguments, **options)


worker = _command(celery_worker, _WORKER_HELP)
beat = _command(celery_beat, _BEAT_HELP)
main = click.Group("griot", commands=[worker, beat])
"""The same command line as `worker.cli`, with these two commands alone."""
