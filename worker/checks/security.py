"""What is open on the way to Redis and RabbitMQ: addresses without TLS, certificates that nobody
checks, passwords that anybody guesses, and a user who may do everything.

A server on this machine, or behind a Unix socket, needs none of it to be well.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from memory import Command, Connection, MemoryServiceError
from memory.redis.endpoint import endpoint
from memory.redis.replies import strings, text
from tasks.process.celery_tls import CeleryAddress
from tasks.process.configuration import BROKER, RESULTS, Settings, load_settings
from worker.checks.findings import Finding, Level

logger = logging.getLogger(__name__)

SHORT_PASSWORD = 16
KNOWN_PASSWORDS = frozenset(
    {"admin", "changeme", "foobared", "griot", "guest", "password", "redis", "secret"}
)
OWN_USERS = 'give each process a user of its own: docs/operations.md, "Redis users"'
ADMINISTRATOR = "default"
MEMORY = "REDIS_URL"
PORTS = {"redis": 6379, "sentinel": 26379, "amqp": 5672, "pyamqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Way:
    """One server's address: whose, as which setting, its hosts and ports (none: a Unix socket; or
    its Sentinels', whose TLS is another), its options of TLS (None: it has none), its password."""

    name: str
    setting: str
    addresses: tuple[tuple[str, int], ...]
    tls: Mapping[str, object] | None
    password: str | None
    has_sentinels: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its hosts alone."""
        return tuple(host for host, _ in self.addresses)

    @property
    def is_local(self) -> bool:
        """Whether it does not leave this machine."""
        return all(map(_is_loopback, self.hosts))

    @property
    def where(self) -> str:
        """Its hosts, for people."""
        return ", ".join(self.hosts) or "a Unix socket"


def security_findings(settings: Settings) -> list[Finding]:
    """What is open in the addresses. Asks nobody."""
    return [finding for way in ways_to_servers(settings) for finding in way_findings(way)]


def warn_of_unchecked_certificates() -> None:
    """Log each server whose certificate is not checked: anybody may answer in its place."""
    for way in ways_to_servers(load_settings()):
        for finding in _certificate_findings(way):
            logger.warning("%s: %s; %s", finding.check, finding.found, finding.advice)


def ways_to_servers(settings: Settings) -> tuple[Way, Way, Way]:
    """To the memory, the broker and the results."""
    queue = settings.queue
    of_broker = MEMORY if queue.broker_url is None else BROKER
    of_results = MEMORY if queue.result_backend is None else RESULTS
    return (
        _way_to_memory(settings),
        _way("broker", of_broker, settings.broker),
        _way("results", of_results, settings.results),
    )


def way_findings(way: Way) -> list[Finding]:
    """What is open in one address; one that is well says so."""
    check = f"{way.name} security"
    open_ones = [*_transport_findings(way), *_certificate_findings(way), *_password_findings(way)]
    if open_ones:
        return open_ones
    how = (
        "TLS, its certificate is checked" if way.tls is not None else "does not leave this machine"
    )
    return [Finding(check, Level.OK, how)]


def _transport_findings(way: Way) -> Iterator[Finding]:
    if way.tls is None and not way.is_local:
        yield Finding(
            f"{way.name} security",
            Level.WARN,
            f"no TLS to {way.where}: others in that network can read what passes, and the password",
            f"rediss:// or amqps:// in {way.setting}, or use a network of Griot's own",
        )


def _certificate_findings(way: Way) -> Iterator[Finding]:
    if way.tls is None:
        return
    # RabbitMQ's library has other names for the same.
    required = str(way.tls.get("ssl_cert_reqs", way.tls.get("cert_reqs", "required"))).lower()
    advice = f"remove that from {way.setting}, and name your authority there with ssl_ca_certs"
    found = f"TLS to {way.where}, and its certificate is not checked, so any server could answer"
    if "none" in required or required == "0":
        yield Finding(f"{way.name} security", Level.WARN, f"{found} (ssl_cert_reqs=none)", advice)
    elif way.tls.get("ssl_check_hostname") is False:
        yield Finding(
            f"{way.name} security", Level.WARN, f"{found} (ssl_check_hostname=false)", advice
        )


def _password_findings(way: Way) -> Iterator[Finding]:
    if way.is_local:
        return
    check = f"{way.name} security"
    if not way.password and way.tls is None:
        found, advice = f"no password for {way.where}", OWN_USERS
        yield Finding(check, Level.WARN, found, advice)
    elif way.password and (
        len(way.password) < SHORT_PASSWORD or way.password.lower() in KNOWN_PASSWORDS
    ):
        found = f"the password for {way.where} is short or well known"
        yield Finding(check, Level.WARN, found, "set a new one, such as from: openssl rand -hex 32")


def user_findings(connection: Connection, settings: Settings) -> list[Finding]:
    """As whom the memory is used."""
    way = _way_to_memory(settings)
    try:
        user = connection.run(Command(text, ("ACL", "WHOAMI")))
        rights = _rights(connection, user) if user == ADMINISTRATOR else ""
    except MemoryServiceError:
        # Who may not even ask is nobody's administrator; who cannot be reached is `check_redis`'s.
        return []
    if "+@all" not in rights.split():
        return [Finding("redis user", Level.OK, user)]
    found = f"the user {user}, who may do everything at the server"
    if "nopass" in rights.split():
        found += " and needs no password"
    if way.is_local:
        return [Finding("redis user", Level.OK, f"{found}, on this machine")]
    return [Finding("redis user", Level.WARN, found, OWN_USERS)]


def _rights(connection: Connection, user: str) -> str:
    """The flags and the commands of a user who may ask for them."""
    reply = connection.run(Command(_facts, ("ACL", "GETUSER", user)))
    return f"{reply.get('flags', '')} {reply.get('commands', '')}"


def _facts(reply: object) -> dict[str, str]:
    match reply:
        case [bytes(), *_] as facts:
            return {
                text(name): _plain(value)
                for name, value in zip(facts[::2], facts[1::2], strict=True)
            }
    return {}


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return " ".join(one.decode() for one in strings(value)) if _is_flat(value) else ""


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, bytes) for one in value)


def _way_to_memory(settings: Settings) -> Way:
    found = endpoint(settings.memory)
    options = found.options
    at = str(options.get("host", "")), int(str(options.get("port", PORTS["redis"])))
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    password = options.get("password")
    return Way(
        name="redis",
        setting=MEMORY,
        addresses=() if "unix_socket_path" in options else found.sentinels or (at,),
        tls=tls if options.get("ssl") else None,
        password=str(password) if password is not None else None,
        has_sentinels=bool(found.sentinels),
    )


def _way(name: str, setting: str, address: CeleryAddress) -> Way:
    parts = [urlsplit(one) for one in address.url.split(";")]
    addresses = tuple(
        (one.hostname or "localhost", one.port or PORTS.get(one.scheme, PORTS["redis"]))
        for one in parts
        if "socket" not in one.scheme
    )
    password = next((one.password for one in parts if one.password), None)
    return Way(
        name=name,
        setting=setting,
        addresses=addresses,
        tls=address.tls,
        password=unquote(password) if password else None,
        has_sentinels=any(one.scheme.startswith("sentinel") for one in parts),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host in ("localhost", "")
