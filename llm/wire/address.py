"""Where Ollama listens. The address comes from settings only, never from a job."""

import re
import ssl
from functools import cache
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

ADDRESS_RULE = (
    "must be http://host:port or https://host:port, perhaps with the path of a gateway, with no "
    "user, query or fragment"
)
MAX_SERVERS = 32

DialectName: TypeAlias = Literal["ollama", "openai"]
"""What listens there speaks Ollama's protocol, or OpenAI's."""

_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
_CLOUD = "ollama.com"


def check_base_url(url: str) -> str:
    """Return `url` without a trailing slash; raise ValueError unless it is scheme, host, port and
    perhaps a path.

    The message does not repeat the URL: a wrong one may hold a password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:  # which repeats what stands there, be it a password
        raise ValueError(ADDRESS_RULE) from None
    # No user: it would stand in logs and error messages with its password.
    is_address = (
        parts.scheme in ("http", "https")
        and parts.hostname
        and "@" not in parts.netloc
        and _PATH.fullmatch(path := parts.path.rstrip("/"))
        and not {".", ".."} & set(path.split("/"))
        and not parts.query
        and not parts.fragment
    )
    # urlsplit takes blanks and backslashes as parts of a host's name.
    if not is_address or any(char.isspace() or char == "\\" for char in parts.netloc):
        raise ValueError(ADDRESS_RULE)
    if path.endswith("/api"):
        raise ValueError("/api is added by itself: leave it out")
    if port == 0:
        raise ValueError("the port must be between 1 and 65535")
    return f"{parts.scheme}://{parts.netloc}{path}"


def split_addresses(value: object) -> object:
    """The parts of a comma-separated text, without blanks; anything else as it is."""
    if not isinstance(value, str):
        return value
    parts = (part.strip() for part in value.split(","))
    return tuple(part for part in parts if part)


def check_base_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    """`check_base_url` for each; raise ValueError if there are too many, or one is named twice."""
    checked = tuple(map(check_base_url, urls))
    if len(checked) > MAX_SERVERS:
        raise ValueError(f"at most {MAX_SERVERS} servers")
    if len(set(checked)) < len(checked):
        raise ValueError("a server is named twice")
    return checked


def looks_like_openai(base_url: str) -> bool:
    """Whether an address is one of OpenAI's protocol by its looks; for the words of messages."""
    return base_url.endswith("/v1")


def named(base_url: str) -> str:
    """A server as a message names it: what it is, and where."""
    kind = "the server" if looks_like_openai(base_url) else "Ollama"
    return f"{kind} at {base_url}"


def label_of(base_url: str) -> str:
    """A checked address without its scheme: a server's short name, which holds no secret."""
    return base_url.partition("://")[2]


def is_cloud_address(base_url: str) -> bool:
    """Whether a checked address is that of Ollama's cloud, which loads no models for us."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    return host == _CLOUD or host.endswith(f".{_CLOUD}")


@cache
def ssl_context_for(scheme: str) -> ssl.SSLContext:
    """The TLS context for a scheme, made once: httpx's own default takes 25 ms per client.

    For `http` it is a context that trusts nobody; nothing uses it.
    """
    if scheme == "https":
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
