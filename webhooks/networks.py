"""Where a webhook may be sent to: public addresses, and networks that a setting names.

The address that was looked at is the one that is connected to: a name that is public for the look
and private for the connection would let anybody who may name a receiver reach what is inside.
"""

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Network = IPv4Network | IPv6Network
NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 addresses inside IPv6 ones, which a gateway translates (RFC 6052)."""


class AddressRefused(OSError):
    """A name has no address that webhooks may go to."""


def is_allowed(address: str, private: Sequence[Network]) -> bool:
    """Whether webhooks may go to an IP address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(one) or _is_in(one, private) for one in _meanings(found))


class CheckedResolver(AbstractResolver):
    """Looks names up, and gives only addresses that webhooks may go to."""

    def __init__(self, private: Sequence[Network], names: AbstractResolver | None = None) -> None:
        self._private = private
        self._names = names or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The allowed addresses of a name. Raises AddressRefused where it has only others."""
        found = await self._names.resolve(host, port, family)
        allowed = [one for one in found if is_allowed(one["host"], self._private)]
        if not allowed:
            raise AddressRefused(f"{host} is in a private network")
        return allowed

    async def close(self) -> None:
        """Give up what the look-up holds."""
        await self._names.close()


def _meanings(found: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The address, and the one that is inside it."""
    inner: IPv4Address | None = None
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in NAT64:
            inner = IPv4Address(int(found) & 0xFFFF_FFFF)
    if inner is None:
        yield found
    else:
        yield inner


def _is_public(found: IPv4Address | IPv6Address) -> bool:
    return found.is_global and not found.is_multicast and not found.is_reserved


def _is_in(found: IPv4Address | IPv6Address, private: Sequence[Network]) -> bool:
    return any(found in network for network in private if network.version == found.version)
