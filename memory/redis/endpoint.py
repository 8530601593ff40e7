"""Where Redis is and how to speak to it: the part that the blocking and the async client share.

Pure: nothing here connects. A client made from these options never tries again by itself
(`failures.Attempts` is the one place that does), answers in bytes, and gives each answer a
bounded time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from redis.connection import SSLConnection, parse_url

from memory.address import check_address, is_host, option_names
from memory.errors import InvalidInput
from memory.settings import MemorySettings

CLIENT_NAME = "griot"
DEFAULT_MAX_CONNECTIONS = 512
HEALTH_CHECK_INTERVAL_S = 25
"""A connection that was idle for longer is asked PING before it is used again."""

_URL_OPTIONS = frozenset({
    "client_name", "health_check_interval", "protocol", "socket_keepalive",
    "ssl_ca_certs", "ssl_ca_data", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname",
    "ssl_ciphers", "ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile",
    "ssl_min_version",
})  # fmt: skip
_CERT_REQS = re.compile(r"(?<=[?&]ssl_cert_reqs=)[^&#]*")
_KNOWN_CERT_REQS = re.compile("(?:ssl\\.)?(?:CERT_)?(none|optional|required)", re.IGNORECASE)
_NOT_OF_A_CLUSTER = frozenset({"ssl_ca_path", "ssl_password"})
_OF_A_SOCKET = frozenset({"db", "username", "password"})
"""Before the `?` of a unix:// address stands nothing but the path, and perhaps a login."""

_CLUSTER_REPLIES = ("CLUSTER", "COMMAND")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis: its label for messages (without credentials) and the options of its clients.

    `options` are keyword arguments that both `redis.Redis` and `redis.asyncio.Redis` take,
    the retry policy excepted, which is another class in each.
    """

    label: str
    mode: str
    options: dict[str, object] = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_master: str = ""
    of_sentinels: dict[str, object] = field(default_factory=dict, repr=False)
    """Login and TLS of the Sentinels themselves."""

    def sentinel_options(self) -> dict[str, object]:
        """Options of the clients that ask the Sentinels: time-outs, login and TLS, no database."""
        wanted = ("socket_", "client_name", "protocol")
        common = {name: value for name, value in self.options.items() if name.startswith(wanted)}
        return common | self.of_sentinels

    def cluster_options(self) -> dict[str, object]:
        """Options of a client of Redis Cluster, which has no database numbers."""
        return {name: value for name, value in self.options.items() if name != "db"}


def endpoint(
    settings: MemorySettings, *, max_connections: int = DEFAULT_MAX_CONNECTIONS
) -> Endpoint:
    """The endpoint that `settings` describe. Raises InvalidInput where they contradict."""
    address = _address(settings)
    if settings.mode == "cluster":
        if "unix_socket_path" in address:
            raise InvalidInput("REDIS_MODE=cluster needs a host, not a Unix socket")
        if address.get("db"):
            raise InvalidInput("Redis Cluster has only database 0: set REDIS_DB=0")
    # RESP2 whatever REDIS_URL says: `replies` reads its shapes, and every old proxy knows it.
    options = _common(settings, max_connections) | address | {"protocol": 2}
    tls = _of_tls(options)
    if not options.get("ssl"):
        options = {name: value for name, value in options.items() if name not in tls}
    return Endpoint(
        label=_label(settings, address),
        mode=settings.mode,
        options=options,
        sentinels=tuple(_host_and_port(node) for node in settings.sentinels),
        sentinel_master=settings.sentinel_master,
        of_sentinels=sentinel_options(settings, tls),
    )


def sentinel_options(settings: MemorySettings, tls: Mapping[str, object]) -> dict[str, object]:
    """Login and TLS of clients that ask Sentinels, whose servers have the options `tls`, if any."""
    found: dict[str, object] = {}
    if settings.sentinel_username is not None:
        found["username"] = settings.sentinel_username
    if settings.sentinel_password is not None:
        found["password"] = settings.sentinel_password.get_secret_value()
    has_tls = tls.get("ssl", False) if settings.sentinel_tls is None else settings.sentinel_tls
    return {**found, **tls_options({}), **tls, "ssl": True} if has_tls else found


def redis_tls(settings: MemorySettings) -> dict[str, object]:
    """The options of TLS in REDIS_URL."""
    return _of_tls(_address(settings))


def _of_tls(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if name.startswith("ssl")}


def tls_options(given: Mapping[str, str]) -> dict[str, object]:
    """What the options of TLS in an address mean, as redis-py's clients take it.

    Certificate and host name are checked where `given` says nothing of it. Raises InvalidInput,
    without a value, for an option or value that nobody knows.
    """
    url = plain_cert_reqs(f"rediss://?{urlencode(given)}")
    try:
        found = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except ValueError as exc:
        raise InvalidInput(f"a TLS option has an invalid value: {exc}") from None
    del found["connection_class"]
    known = {name for name in _URL_OPTIONS | _NOT_OF_A_CLUSTER if name.startswith("ssl_")}
    if not found.keys() <= known:
        raise InvalidInput(
            f"unknown TLS option; an address may have only {', '.join(sorted(known))}"
        )
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True} | found


def plain_cert_reqs(url: str) -> str:
    """The address with `ssl_cert_reqs` as redis-py spells it; Python's and Celery's names are
    CERT_NONE and so on. Raises InvalidInput for what nobody knows."""

    def plain(found: re.Match[str]) -> str:
        known = _KNOWN_CERT_REQS.fullmatch(found[0])
        if known is None:
            raise InvalidInput("ssl_cert_reqs must be none, optional or required")
        return known[1].lower()

    return _CERT_REQS.sub(plain, url)


def keep_raw(callbacks: dict[str, _V]) -> None:
    """Make a client answer as Redis does, in bytes, integers and lists, whatever the command.

    `callbacks` are the client's `response_callbacks`; those that redis-py needs itself to learn
    the layout of a cluster stay.
    """
    for command in [name for name in callbacks if not name.startswith(_CLUSTER_REPLIES)]:
        del callbacks[command]


def _common(settings: MemorySettings, max_connections: int) -> dict[str, object]:
    return {
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        "max_connections": max_connections,
        "client_name": CLIENT_NAME,
        "decode_responses": False,
    }


def _address(settings: MemorySettings) -> dict[str, object]:
    if settings.url is not None:
        url = settings.url.get_secret_value()
        check_address(url, "REDIS_URL")
        try:
            url = plain_cert_reqs(url)
        except InvalidInput as exc:
            raise InvalidInput(f"REDIS_URL: {exc}") from None
        parts = _parse(url)
        _check_options(url, settings.mode, has_sentinel_tls=bool(settings.sentinel_tls))
        return parts
    if not is_host(settings.host):
        raise InvalidInput("REDIS_HOST must be a host name or address, without a login")
    parts = {"host": settings.host, "port": settings.port, "db": settings.db}
    if settings.username is not None:
        parts["username"] = settings.username
    if settings.password is not None:
        parts["password"] = settings.password.get_secret_value()
    return parts


def _parse(url: str) -> dict[str, object]:
    try:
        parts: dict[str, object] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except ValueError:
        # Not `from exc`: its message may repeat the URL, password and all.
        raise InvalidInput(
            "REDIS_URL must look like redis://, rediss:// or unix:// "
            "[user:password@]host[:port][/db], with known options only"
        ) from None
    if parts.pop("connection_class", None) is SSLConnection:
        # Certificate and host name are verified unless the URL says otherwise.
        parts = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True} | parts
    if "path" in parts:
        parts["unix_socket_path"] = parts.pop("path")
    else:
        parts = {"host": "localhost", "port": 6379} | parts
    return {"db": 0} | parts


def _check_options(url: str, mode: str, *, has_sentinel_tls: bool) -> None:
    """Raise InvalidInput for an option that is said elsewhere, or would change what replies are."""
    allowed = set(_URL_OPTIONS if mode == "cluster" else _URL_OPTIONS | _NOT_OF_A_CLUSTER)
    parts = urlsplit(url)
    if parts.scheme == "unix":
        allowed |= _OF_A_SOCKET
    given = option_names(url)
    if parts.scheme != "rediss" and not has_sentinel_tls:
        allowed = {name for name in allowed if not name.startswith("ssl_")}
    if not given <= allowed:
        # Not which: a password with a question mark in it ends up here, too.
        raise InvalidInput(
            "REDIS_URL has an option that is not allowed: put user, password, host, port and "
            "db before the '?'; the timeout is REDIS_TIMEOUT; after the '?' may follow only "
            + ", ".join(sorted(allowed))
        )


def _label(settings: MemorySettings, address: dict[str, object]) -> str:
    if settings.mode == "sentinel":
        return f"{settings.sentinel_master} (Sentinels {', '.join(settings.sentinels)})"
    if "unix_socket_path" in address:
        return f"{address['unix_socket_path']}, db {address['db']}"
    where = f"{address['host']}:{address['port']}"
    return f"cluster {where}" if settings.mode == "cluster" else f"{where}, db {address['db']}"


def _host_and_port(node: str) -> tuple[str, int]:
    host, _, port = node.rpartition(":")
    if not host or not is_host(host) or not port.isdecimal():
        raise InvalidInput(
            "REDIS_SENTINELS must be host:port, separated by commas; set their login with "
            "REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD"
        )
    # An IPv6 address stands in brackets.
    return host.strip("[]"), int(port)
