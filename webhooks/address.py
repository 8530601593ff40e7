"""Addresses of receivers: what one must be like, and which are allowed. Pure.

An address can be read in one way only: nothing in it is taken for a host by one library and for a
login or a path by another.
"""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from webhooks.errors import BadAddress

MAX_CHARS = 2048
PORTS = {"https": 443, "http": 80}
HOW_A_HOST = "write each host as hooks.example.com, or *.example.com:8443, without login and path"
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*)?"
)
_NAME = re.compile(
    r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!0x[0-9a-f]*$)[a-z0-9]*[a-z]([a-z0-9-]*[a-z0-9])?"
)
"""A name by DNS. Its last part has a letter: else it is a number that some read as an address."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a receiver is. `host` is in small letters, that of an IPv6 address without brackets."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int

    @classmethod
    def parsed(cls, url: str) -> Self:
        """The parts of an address. Raises BadAddress, which does not repeat it."""
        found = _ADDRESS.fullmatch(url) if len(url) <= MAX_CHARS else None
        if found is None or "\\" in url or "#" in url:
            raise BadAddress(
                "a webhook must be an address such as https://hooks.example.com/griot, of "
                f"{MAX_CHARS} characters at most, without login and fragment"
            )
        scheme, host = found["scheme"], found["host"].strip("[]").lower()
        port = int(found["port"] or PORTS[scheme])
        if not _is_host(host) or not 0 < port < 65_536 or urlsplit(url).hostname != host:
            raise BadAddress("a webhook's host must be a name or an IP address, its port a number")
        return cls(url, scheme, host, port)

    @property
    def place(self) -> str:
        """Host and port, as one word."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts that `WEBHOOK_HOSTS` allows: (scheme, host or `*.` and a domain, port)."""

    patterns: tuple[tuple[str, str, int], ...]

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read patterns that commas separate: `hooks.example.com`, `*.example.com:8443`,
        `http://127.0.0.1:9000`. Raises BadAddress."""
        return cls(tuple(_pattern(one.strip()) for one in text.split(",") if one.strip()))

    def check(self, url: str) -> Address:
        """The address, if it is allowed. Raises BadAddress."""
        address = Address.parsed(url)
        if not any(_is_of(address, *pattern) for pattern in self.patterns):
            plain = ", with http:// before it" if address.scheme == "http" else ""
            raise BadAddress(
                f"webhooks to {address.scheme}://{address.place} are not allowed: WEBHOOK_HOSTS "
                f"does not name it{plain}"
            )
        return address


def check_url(url: str) -> str:
    """The same, if it can be an address. Raises BadAddress, which is a ValueError."""
    return Address.parsed(url).url


def _is_host(host: str) -> bool:
    if ":" not in host and _NAME.fullmatch(host):
        return len(host) <= 253
    try:
        return str(ip_address(host)) == host or ":" in host
    except ValueError:
        return False


def _pattern(text: str) -> tuple[str, str, int]:
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "https", text
    is_domain = rest.startswith("*.")
    try:
        address = Address.parsed(f"{scheme}://{rest.removeprefix('*.')}")
    except BadAddress:
        raise BadAddress(HOW_A_HOST) from None
    if urlsplit(address.url).path:
        raise BadAddress(HOW_A_HOST)
    return address.scheme, f"*.{address.host}" if is_domain else address.host, address.port


def _is_of(address: Address, scheme: str, host: str, port: int) -> bool:
    is_host = address.host == host or (host[:2] == "*." and address.host.endswith(host[1:]))
    return is_host and (address.scheme, address.port) == (scheme, port)
