"""Who may ask a server that listens on loopback (docs/ollama.md, Transport). Pure."""

import ipaddress
import socket
from urllib.parse import urlsplit

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_OPEN_SCHEMES = {"app", "file", "tauri", "vscode-webview", "vscode-file"}
_LOCAL_ORIGINS = {"localhost", "127.0.0.1", "0.0.0.0"}  # noqa: S104  # a name in a header


def is_allowed_host(header: str) -> bool:
    """Whether a request may name this host: one of this machine, or a private address."""
    name = (urlsplit(f"//{header}").hostname or "").lower()
    if name in {"", "localhost", socket.gethostname().lower()} or name.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


def is_allowed_origin(header: str | None) -> bool:
    """Whether a page of this origin may ask; a request that names none is no page's."""
    if not header:
        return True
    origin = urlsplit(header)
    return origin.scheme in _OPEN_SCHEMES or (origin.hostname or "") in _LOCAL_ORIGINS
