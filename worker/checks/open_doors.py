"""What stands open outside Redis: Flower, gateway, metrics, spans, the way to the models, webhooks,
crash points.

Each door is a warning of `griot check`. What stands open in Redis, and models of the cloud, have
checks of their own.
"""

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.settings import GatewaySettings
from memory import Connection, Keyspace, MemoryServiceError
from memory.records import api_keys
from tasks.process.configuration import Settings, checked
from tasks.process.crash_points import VARIABLE, is_named
from telemetry.settings import CONTENT, captures_content
from worker.checks.findings import Finding, Level
from worker.settings import FlowerAccess, MetricsSettings
from worker.traces.settings import endpoints, read_env_file, wants_traces

CHECK = "open doors"
THIS_MACHINE = "host.docker.internal"


def check_open_doors(settings: Settings) -> list[Finding]:
    """A warning for each door that stands open; one that all is well where none does."""
    doors = [
        *_flower(FlowerAccess()),
        *_plain_text(settings),
        *_crash_points(),
        *_webhooks(settings),
        *_metrics(checked(MetricsSettings)),
        *_spans(),
    ]
    return doors or [Finding(CHECK, Level.OK, "none besides those of Redis")]


def check_gateway(connection: Connection, keyspace: Keyspace) -> list[Finding]:
    """Whether a gateway here lets everybody in. Nothing of a gateway that keys close."""
    settings = checked(GatewaySettings)
    try:
        is_closed = connection.run(api_keys.is_closed(keyspace))
    except MemoryServiceError:
        return []  # `check_redis` says why, or this user may not read keys, and runs no gateway
    if is_closed:
        return [Finding("gateway", Level.OK, "asks for an API key")]
    advice = "make the first key: griot keys create NAME"
    if settings.may_be_open:
        found = "`griot serve` asks for no API key: all on this machine may do everything with it"
        return [Finding("gateway", Level.OK, found, advice)]
    return [Finding("gateway", Level.OK, "does not start: there is no API key", advice)]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address, or a name of it."""
    with suppress(ValueError):  # no address but a name
        return ip_address(host).is_loopback
    return host == "localhost"


def _flower(access: FlowerAccess) -> Iterator[Finding]:
    if access.unix_socket or access.address is None or is_loopback(access.address):
        return
    if not (access.basic_auth or access.auth):
        found = f"FLOWER_ADDRESS={access.address or '(every address)'} without a login"
        advice = "set FLOWER_BASIC_AUTH=user:password; Flower does not start like this"
        yield Finding(CHECK, Level.WARN, found, advice)


def _plain_text(settings: Settings) -> Iterator[Finding]:
    far = [url for url in settings.llm.servers if _leaves_in_plain_text(url)]
    if far:
        found = f"prompts and replies cross the network in plain text: {', '.join(far)}"
        advice = "use https, or a network of Griot's own; Ollama asks for no password"
        yield Finding(CHECK, Level.WARN, found, advice)


def _leaves_in_plain_text(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    # A name without a dot is one of a network of containers, which compose makes for nobody else.
    is_near = is_loopback(host) or host == THIS_MACHINE or not set(host) & set(".:")
    return parts.scheme == "http" and not is_near


def _webhooks(settings: Settings) -> Iterator[Finding]:
    hooks = settings.webhooks
    if hooks.hosts and not hooks.secrets:
        found = "WEBHOOK_HOSTS without WEBHOOK_SECRETS: this process sends no webhooks"
        advice = "give WEBHOOK_SECRETS to the workers that are to send them"
        yield Finding(CHECK, Level.WARN, found, advice)
    # What is inside may do what anybody asks of it by HTTP.
    wide = [str(one) for one in hooks.private if one.num_addresses > 1]
    if wide:
        found = f"webhooks may go to private networks (WEBHOOK_NETWORKS): {', '.join(wide)}"
        advice = "name single addresses, such as 10.20.0.7/32"
        yield Finding(CHECK, Level.WARN, found, advice)
    plain = [host for scheme, host, _ in hooks.allowed.patterns if _is_far(scheme, host)]
    if plain:
        found = f"webhooks cross the network in plain text: {', '.join(plain)}"
        yield Finding(CHECK, Level.WARN, found, "take http:// out of WEBHOOK_HOSTS")


def _is_far(scheme: str, host: str) -> bool:
    return scheme == "http" and not is_loopback(host)


def _metrics(access: MetricsSettings) -> Iterator[Finding]:
    if access.port is not None and not is_loopback(access.host):
        found = (
            f"metrics are shown to all who reach METRICS_HOST={access.host or '(every address)'}: "
            "names of agents and models, numbers of jobs"
        )
        yield Finding(CHECK, Level.WARN, found, "let only your Prometheus reach METRICS_PORT")


def _spans() -> Iterator[Finding]:
    read_env_file()
    if not wants_traces():
        return
    far = sorted({url for url in endpoints() if _leaves_in_plain_text(url)})
    if far:
        found = f"spans, with ids of agents and jobs, go in plain text to {', '.join(far)}"
        yield Finding(CHECK, Level.WARN, found, "use https, or a collector on this machine")
    if captures_content():
        found = f"spans hold what is said ({CONTENT})"
        yield Finding(CHECK, Level.WARN, found, "unset it, unless this is what you want")


def _crash_points() -> Iterator[Finding]:
    if is_named():
        found = f"{VARIABLE} is set, with which tests crash processes"
        yield Finding(CHECK, Level.WARN, found, "remove it from the environment")
