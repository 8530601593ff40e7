"""The names that requests may be sent to."""

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Receive, Scope, Send

HEALTH = ("/healthz", "/readyz")


class KnownHosts(TrustedHostMiddleware):
    """Refuses a request to any other name, but for health: a container's check, and Kubernetes',
    asks by address, and what it is told is no secret."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it in, or answer 400."""
        is_health = scope["type"] == "http" and scope["path"] in HEALTH
        if is_health:
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
