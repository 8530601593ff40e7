"""The names that requests may be sent to."""

from collections.abc import Sequence

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import ApiError

HEALTH = ("/healthz", "/readyz")
ALL = "*"


class KnownHosts:
    """Refuses a request to any other name, but for health: a container's check, and Kubernetes',
    asks by address, and what it is told is no secret.

    `*.example.com` means all names below it, and * all there are.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it in, or answer 400."""
        if scope["type"] != "http" or scope["path"] in HEALTH or self._knows(scope):
            await self._app(scope, receive, send)
            return
        refusal = ApiError(
            400, "This gateway does not go by that name (GATEWAY_HOSTS).", code="unknown_host"
        )
        await JSONResponse(refusal.body, refusal.status)(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        if ALL in self._names:
            return True
        name = _without_port(Headers(scope=scope).get("host", "").lower())
        above = name.partition(".")[2]
        return name in self._names or f"*.{above}" in self._names


def _without_port(host: str) -> str:
    """The name in a `Host`; an address of IPv6 keeps its brackets."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
