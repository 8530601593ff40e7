"""TLS to Celery's broker and results, from the same options in the address as for the memory.

kombu and Celery 5.7.0 each read a part of them, under other names and with other spellings; what
they are given here is complete. See docs/decisions.md, "One meaning for the options of TLS".
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from memory import InvalidInput, MemorySettings, redis_tls, sentinel_options, tls_options
from tasks.errors import ConfigurationError

AMQPS, REDISS, SENTINEL = "amqps", "rediss", "sentinel"
_FILES = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}


@dataclass(frozen=True, slots=True)
class CeleryAddress:
    """An address without its TLS options, and these as Celery's `*_use_ssl` has them; None: no TLS.

    Holds the password: never log it.
    """

    url: str
    tls: Mapping[str, object] | None


def plain_options(url: str, name: str) -> str:
    """The same address, its options of TLS checked and spelled as redis-py spells them.

    A `rediss://` that says nothing of certificates says `ssl_cert_reqs=required` then: kombu 5.7.0
    checks none, and Celery's backend refuses the address. Raises ConfigurationError.
    """
    return ";".join(_plain(part, name) for part in url.split(";"))


def _plain(url: str, name: str) -> str:
    kind = url.partition("://")[0]
    bare, options = _apart(url)
    if not options and kind != REDISS:
        return url
    if kind not in {AMQPS, REDISS, SENTINEL}:
        raise ConfigurationError(
            f"{name} has a TLS option, but {kind}:// does not use TLS: it must begin with "
            "rediss:// or amqps://"
        )
    checked = _checked(options, name)
    if kind == REDISS or "ssl_cert_reqs" in options:
        options["ssl_cert_reqs"] = str(checked["ssl_cert_reqs"])
    return f"{bare}{'&' if '?' in bare else '?'}{urlencode(options, safe='/')}"


def celery_address(url: str, name: str) -> CeleryAddress:
    """Take an address apart, which the setting `name` holds.

    Certificate and host name are checked unless the address says `ssl_cert_reqs=none`. A Sentinel's
    servers have TLS where an option of TLS is in its address. Raises ConfigurationError, one line,
    no secret in it.
    """
    kind = url.partition("://")[0]
    if kind == SENTINEL:
        return _sentinels(url, name)
    if kind not in {AMQPS, REDISS}:
        return CeleryAddress(url, None)
    if kind == AMQPS and ";" in url:
        raise ConfigurationError(
            f"{name}: amqps:// accepts one address, whose certificate is checked; put several "
            "RabbitMQ servers behind one name"
        )
    bare, options = _apart(url)
    tls = _checked(options, name)
    return CeleryAddress(bare, _of_amqp(tls, bare) if kind == AMQPS else tls)


def sentinel_transport(memory: MemorySettings, address: CeleryAddress) -> dict[str, object]:
    """What kombu's and Celery's transport options say of Sentinels: whose master, and their own
    login, TLS and time-outs. Holds a password: never log it."""
    if address.tls is not None:
        tls = {"ssl": True, **address.tls}
    else:  # only the Sentinels may have it: then as REDIS_URL says
        tls = redis_tls(memory) if memory.sentinel_tls else {}
    times = {"socket_timeout": memory.timeout_s, "socket_connect_timeout": memory.timeout_s}
    return {
        "master_name": memory.sentinel_master,
        "sentinel_kwargs": times | sentinel_options(memory, tls),
    }


def _sentinels(url: str, name: str) -> CeleryAddress:
    """Of several addresses each may have the options; the last one that has any counts."""
    parts = [_apart(part) for part in url.split(";")]
    bare = ";".join(part for part, _ in parts)
    options = next((found for _, found in reversed(parts) if found), None)
    return CeleryAddress(bare, None if options is None else _checked(options, name))


def _apart(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    of_tls = {name: value for name, value in given if name.startswith("ssl_")}
    others = urlencode([(name, value) for name, value in given if name not in of_tls])
    return urlunsplit(parts._replace(query=others)), of_tls


def _checked(options: Mapping[str, str], name: str) -> dict[str, object]:
    try:
        typed = tls_options(options)
    except InvalidInput as exc:
        raise ConfigurationError(f"{name}: {exc}") from None
    for option in _FILES:
        if (path := typed.get(option)) is not None and not Path(str(path)).is_file():
            raise ConfigurationError(f"{name}: {option}={path} is not a file")
    return typed


def _of_amqp(tls: Mapping[str, object], url: str) -> dict[str, object]:
    """kombu 5.7.0 hands them to py-amqp under names that it does not know, and without them the
    host's name is not checked."""
    if tls["ssl_cert_reqs"] == "none":
        found: dict[str, object] = {"cert_reqs": ssl.CERT_NONE}
    else:
        found = {"cert_reqs": ssl.CERT_REQUIRED}
        if tls["ssl_check_hostname"]:
            found["server_hostname"] = urlsplit(url).hostname
    return found | {ours: tls[theirs] for theirs, ours in _FILES.items() if theirs in tls}
