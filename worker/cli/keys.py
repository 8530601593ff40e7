"""`griot keys`: the API keys that open the gateway."""

import re

import click

from memory import audit
from memory.quotas.owners import MOST_AT_ONCE, MOST_PER_DAY, MOST_PER_MINUTE
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey, Scope
from tasks.process.configuration import load_settings
from tasks.process.services import producer_services
from webhooks.address import Address
from webhooks.errors import BadAddress
from worker.cli.console import Table, json_option, moment_of, say, show, show_json
from worker.cli.group import CommandFailed, Group

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


def _name(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    # It begins the ids of its sessions, whose next character is no letter of a name.
    if given is not None and not _NAME.fullmatch(given):
        wrong = "use small letters, digits, dots and hyphens, 64 at most"
        raise click.BadParameter(wrong, context, parameter)
    return given


def _webhook(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    try:
        return given and load_settings().webhooks.allowed.check(given).url
    except BadAddress as exc:
        raise click.BadParameter(str(exc), context, parameter) from None


@click.group(cls=Group)
def keys() -> None:
    """Make, list and revoke the API keys of the gateway.

    The first one closes a gateway that was open, and it stays closed when the last is revoked:
    griot keys open.

    A key is shown once: only a hash of it is kept. Sessions belong to the key's owner, and nobody
    else's key sees them.

    \b
    Example:
      griot keys create web-shop
      griot keys create dashboard --owner ops --scope read --scope operate
      griot keys create web-shop --jobs-per-minute 60 --tokens-per-day 1000000
    """


@keys.command(name="create")
@click.argument("name", callback=_name)
@click.option("--owner", callback=_name, help="Whose sessions it opens. Default: NAME.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    help=f"What it may do; may be given several times. Default: {', '.join(USUAL)}.",
)
@click.option(
    "--agent", "agents", multiple=True, help="An agent that it may use. Default: all of them."
)
@click.option(
    "--jobs-per-minute",
    type=click.IntRange(1, MOST_PER_MINUTE),
    help="How many jobs all keys of this name may send in a minute. Default: no bound.",
)
@click.option(
    "--tokens-per-day",
    type=click.IntRange(1, MOST_PER_DAY),
    help="How many tokens of prompts and replies they may use in a day. Default: no bound.",
)
@click.option(
    "--jobs-at-once",
    type=click.IntRange(1, MOST_AT_ONCE),
    help="How many of their jobs may wait or run. Default: no bound.",
)
@click.option(
    "--webhook",
    metavar="URL",
    callback=_webhook,
    help="The address that is told how each of its responses has ended.",
)
def create_key(
    name: str,
    owner: str | None,
    scopes: tuple[str, ...],
    agents: tuple[str, ...],
    webhook: str | None,
    **bounds: int | None,
) -> None:
    """Make a key, and print it: it is shown this once."""
    chosen = [Scope(scope) for scope in dict.fromkeys(scopes)] or USUAL
    key, token = ApiKey.new(
        name=name,
        owner=owner or name,
        scopes=chosen,
        agents=list(agents) or None,
        quota={rule: bound for rule, bound in bounds.items() if bound is not None},
        webhook=webhook,
    )
    services = producer_services()
    with audit.recorded(services.memory, services.keyspace, audit.Deed.CREATE_KEY) as entry:
        services.memory.run(api_keys.save(services.keyspace, key))
        entry.outcome = f"created {key.key_id} for {name}"
    say(token)


@keys.command(name="list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the keys, the oldest first."""
    services = producer_services()
    found = services.memory.run(api_keys.every(services.keyspace))
    facts = [_facts(key) for key in found]
    columns = ("Id", "Name", "Owner", "Scopes", "Agents", "Quota", "Webhook", "Since")
    rows = [list(one.values()) for one in facts]
    show_json(facts) if as_json else show(Table("API keys", columns, rows))


@keys.command(name="revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke a key by its id: it opens nothing from then on."""
    services = producer_services()
    with audit.recorded(services.memory, services.keyspace, audit.Deed.REVOKE_KEY) as entry:
        if not services.memory.run(api_keys.revoke(services.keyspace, key_id)):
            raise CommandFailed("there is no key with this id; see: griot keys list")
        entry.outcome = f"revoked {key_id}"
    say(f"{key_id} is revoked")
    if not services.memory.run(api_keys.every(services.keyspace)):
        say("it was the last one: a gateway refuses everybody until griot keys create, or open")


@keys.command(name="open")
def open_gateway() -> None:
    """Let a gateway on loopback serve without keys again, once none is left."""
    services = producer_services()
    left = services.memory.run(api_keys.every(services.keyspace))
    if left:
        raise CommandFailed(f"there are {len(left)} keys: revoke them first; see: griot keys list")
    with audit.recorded(services.memory, services.keyspace, audit.Deed.OPEN_GATEWAY):
        services.memory.run(api_keys.reopen(services.keyspace))
    say("a gateway on loopback serves without a key now")


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "owner": key.owner,
        "scopes": ", ".join(key.scopes),
        "agents": "all" if key.agents is None else ", ".join(key.agents),
        "quota": ", ".join(f"{bound} {rule.replace('_', ' ')}" for rule, bound in key.quota.items())
        or "none",
        "webhook": None if key.webhook is None else Address.parsed(key.webhook).place,
        "created_at": moment_of(round(key.created_at * 1000)),
    }
