"""`griot pause` and `griot resume`: have jobs wait, and go on."""

import click

from llm import is_cloud, is_installed
from memory.quoting import quoted
from tasks.overview.pauses import PauseNow, find_pauses
from tasks.process.services import producer_services
from tasks.submit import pauses
from tasks.submit.pauses import PauseKindName
from worker.cli.console import Table, json_option, moment_of, note, say, show, show_json
from worker.cli.known_agents import note_unknown
from worker.cli.moments import duration_option
from worker.cli.next_steps import program
from worker.model_servers import model_servers

KIND = click.Choice(["agent", "model", "server", "all"])


@click.command()
@click.argument("kind", type=KIND, required=False)
@click.argument("name", default="")
@click.option("--reason", default="", help="Why; shown to operators and to those who wait.")
@duration_option(
    "--for", "for_s", help="When it ends by itself: 90s, 10m, 2h. Default: with `griot resume`."
)
@json_option
def pause(
    kind: PauseKindName | None, name: str, reason: str, for_s: float | None, as_json: bool
) -> None:
    """Have jobs wait: of an agent, a model, a model server, or all. Without arguments, show what is
    paused.

    Jobs are taken in and wait, with no attempt counted; those that run finish. Workers see it
    within about a second, and it outlives their restarts. A paused server gets no new calls; jobs
    wait only where every server of their model is paused or away. What has `expires`, expires; a
    cancel works at once.

    \b
    Example:
      griot pause agent energy --reason "wrong prices" --for 10m
      griot pause model llama3.2:1b
      griot pause server http://gpu-2:11434 --reason "new disk"
      griot pause all --for 30m
      griot pause
    """
    if kind is None and (reason or for_s is not None):
        raise click.UsageError("say what is to wait: agent NAME, model NAME, server URL or all")
    if kind is None:
        _list(as_json)
        return
    _check_usage(kind, name)
    if kind == "agent":
        note_unknown(name)
    made = pauses.pause(kind, name, reason=reason, for_s=for_s)
    if as_json:
        show_json(
            {"paused": str(made.target), "since_ms": made.since_ms, "until_ms": made.until_ms}
        )
    else:
        until = "" if made.until_ms is None else f" until {moment_of(made.until_ms)}"
        of = f"{kind} {name}".strip()
        say(f"{made.target} is paused{until}; go on with: {program()} resume {of}")
    if kind == "model":
        # After the pause, which is urgent: a server that is silent takes seconds.
        _note_unlisted(name)


@click.command()
@click.argument("kind", type=KIND)
@click.argument("name", default="")
def resume(kind: PauseKindName, name: str) -> None:
    """End a pause, and have the sessions that wait go on.

    They are woken in the order of their jobs, a growing batch each second. What is paused otherwise
    stays so: `resume all` ends the pause of all, and none of an agent. Resuming twice is harmless.

    \b
    Example:
      griot resume agent energy
      griot resume all
    """
    _check_usage(kind, name)
    was_paused = pauses.resume(kind, name)
    say(f"{f'{kind} {name}'.strip()} {'is resumed' if was_paused else 'was not paused'}")
    for one in pauses.paused():
        say(f"still paused: {one.target}")


def pauses_table(found: tuple[PauseNow, ...]) -> Table:
    """What is paused, since when, until when, why, and how many sessions wait."""
    rows = [
        (
            one.what,
            moment_of(one.since_ms) if one.is_paused else "resumed; its sessions are being woken",
            "" if one.until_ms is None else moment_of(one.until_ms),
            one.reason,
            one.waiting,
        )
        for one in found
    ]
    return Table("Paused", ("What", "Since", "Until", "Reason", "Waiting sessions"), rows)


def _check_usage(kind: PauseKindName, name: str) -> None:
    """Raises click.UsageError where the name of what is meant is missing, or given with `all`."""
    if (kind == "all") is not bool(name):
        return
    what = "the address of the server" if kind == "server" else f"the name of the {kind}"
    raise click.UsageError("all takes no name" if name else f"{what} is missing")


def _note_unlisted(model: str) -> None:
    """Say so on standard error where every server says what it has, and none has the model."""
    servers = model_servers(producer_services().settings.llm)
    is_unsure = is_cloud(model) or any(server.trouble for server in servers)
    if not is_unsure and not any(is_installed(model, server.installed) for server in servers):
        note(f"griot: no server lists the model {quoted(model)}: is the name right?")


def _list(as_json: bool) -> None:
    services = producer_services()
    found = find_pauses(services.memory, services.keyspace)
    if as_json:
        show_json(found)
    elif found:
        show(pauses_table(found))
    else:
        say("nothing is paused")
