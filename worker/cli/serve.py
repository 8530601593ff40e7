"""`griot serve`: the HTTP gateway."""

import logging
from importlib import import_module

import click

from gateway.settings import GatewaySettings
from memory.records import api_keys
from tasks.process.configuration import checked
from tasks.process.services import producer_services
from worker import heap, logs
from worker.cli.group import CommandFailed
from worker.metrics.wanted import show_metrics_if_wanted
from worker.settings import MetricsSettings, WorkerSettings, check_process_settings
from worker.traces.setup import take_traces

logger = logging.getLogger(__name__)


@click.command()
@click.option("--host", help="Where to listen. Default: GATEWAY_HOST, which is 127.0.0.1.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Default: GATEWAY_PORT, which is 8080; 0: a free one.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="How many processes share the port. Default: GATEWAY_PROCESSES, which is 1.",
)
def serve(host: str | None, port: int | None, processes: int | None) -> None:
    """Serve Griot over HTTP, as OpenAI's clients speak it.

    On loopback it asks for no API key as long as there was none. Any other address needs one before
    it starts: griot keys create.

    \b
    Example:
      griot serve --port 8080
      curl http://127.0.0.1:8080/v1/models
    """
    settings = _settings(host=host, port=port, processes=processes)
    check_process_settings()
    services = producer_services()
    is_closed = services.memory.run(api_keys.is_closed(services.keyspace))
    if not is_closed and not settings.may_be_open:
        raise CommandFailed(
            f"there are no API keys, and {settings.host} is not this machine alone: "
            "make one first, with griot keys create NAME"
        )
    _set_up_logs()
    if not is_closed:
        logger.warning(
            "there are no API keys: everybody on this machine may do everything with the gateway; "
            "griot keys create NAME closes it"
        )
    # FastAPI takes a quarter of a second to import: `griot status` does without it.
    import_module("gateway.server").serve(settings, _set_up_logs, _on_start)


def _set_up_logs() -> None:
    """In each process; the standard streams are as they are."""
    logs.set_up(checked(WorkerSettings))
    take_traces("gateway")


def _on_start() -> None:
    """In each process that serves, when all of it is loaded."""
    show_metrics_if_wanted(checked(MetricsSettings), "gateway")
    # A full collection would hold all open streams for as long as it looks at the libraries.
    heap.settle()


def _settings(**given: str | int | None) -> GatewaySettings:
    known = {name: one for name, one in given.items() if one is not None}
    return checked(GatewaySettings).model_copy(update=known)
