"""What stands in the command line of `celery worker`, and what of it Celery passes over.

The options are click's, of celery 5.7.0; worker/options.py says which are refused.
"""

import os
from collections.abc import Callable, Mapping
from functools import wraps

import click
from celery.bin.worker import worker as command
from click.core import ParameterSource

from tasks.errors import ConfigurationError
from worker.settings import MOST_TURNS


def is_given(name: str) -> bool:
    """Whether an option stands in the command line, or in the environment that click reads."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context is not None else None
    return source in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def check_global_options() -> None:
    """Refuse `celery --config` and `--loader`, which Celery reads only for an app without settings.

    Raises ConfigurationError, one line.
    """
    context = click.get_current_context(silent=True)
    given = {} if context is None else context.find_root().params
    for name in ("config", "loader"):
        if given.get(name):
            raise ConfigurationError(
                f"--{name} {given[name]}: Griot's settings come from the environment and .env "
                "(docs/operations.md); leave it out"
            )


def refuse_no_turns() -> None:
    """Have `-c 0` refused, which Celery takes for no option at all."""
    (option,) = (one for one in command.params if one.name == "concurrency")
    read = option.callback

    def read_turns(context: click.Context, parameter: click.Parameter, given: str | None) -> object:
        if given is not None and not given.strip().strip("+-0"):
            raise click.BadParameter(f"a worker runs 1 to {MOST_TURNS} turns")
        return None if read is None else read(context, parameter, given)

    option.callback = read_turns


def apply_umask(given: object) -> None:
    """Let files be made with this mask, which Celery heeds only with `-D`; None: as it is.

    Octal if it begins with 0, as Celery reads it. Raises ConfigurationError for what is no number.
    """
    if given is None:
        return
    text = str(given)
    try:
        os.umask(int(text, 8 if text.startswith("0") else 10))
    except ValueError:
        raise ConfigurationError(f"--umask {text}: is not an octal number such as 027") from None


def before_detaching(check: Callable[[Mapping[str, object]], object]) -> None:
    """Have `check` called with the options before `-D` leaves the terminal, where alone it is read
    why a worker does not start."""
    run = command.callback
    if run is None:
        return

    @wraps(run)
    def run_checked(*args: object, **options: object) -> object:
        if options.get("detach"):
            check(options)
        return run(*args, **options)

    command.callback = run_checked
