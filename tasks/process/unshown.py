"""What Celery tells monitors of a message: which task and which job, nothing of what it says.

Celery 5.7.0 shows the arguments of every task in its events, its log and its remote control, as
their sender represents them in two headers. The sender may be a stranger, or this worker, which
sends replies on to whatever follows a chat job.
"""

import inspect

from celery import Task
from celery.app.amqp import AMQP

NOT_SHOWN = "(not shown)"
"""In the place of arguments: without anything there Celery would represent them itself."""


class UnshownArguments(AMQP):  # type: ignore[misc]  # Celery ships no types
    """Writes messages whose headers show no argument, unless their sender has represented them."""

    def as_task_v2(self, *args: object, **options: object) -> object:
        """A message of Celery's second protocol."""
        shown = {name: options.get(name) or NOT_SHOWN for name in ("argsrepr", "kwargsrepr")}
        return super().as_task_v2(*args, **{**options, **shown})


class UnshownTask(Task):  # type: ignore[misc]  # Celery ships no types
    """What every task of the app is made from that names no other class."""

    abstract = True
    Request = "tasks.process.received:UnshownRequest"

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the task's body. Raises TypeError for arguments that it does not take."""
        try:
            inspect.signature(self.run).bind(*args, **kwargs)
        except TypeError:
            # Not Python's own words: they name an argument as its sender does.
            raise TypeError(f"{self.name} was called with wrong arguments") from None
        return self.run(*args, **kwargs)
