"""What all requests of a gateway process share."""

from dataclasses import dataclass

from gateway.settings import GatewaySettings
from memory import AsyncConnection, Keyspace
from tasks.process.configuration import Settings
from tasks.process.services import producer_services


@dataclass(frozen=True, slots=True)
class Gateway:
    """The settings and the memory's connection of this process; `app.state.gateway`."""

    settings: GatewaySettings
    griot: Settings
    memory: AsyncConnection
    keyspace: Keyspace

    @classmethod
    def start(cls, settings: GatewaySettings) -> "Gateway":
        """Made on the event loop that serves. Raises tasks.ConfigurationError."""
        services = producer_services()
        memory = AsyncConnection(services.settings.memory)
        return cls(settings, services.settings, memory, services.keyspace)
