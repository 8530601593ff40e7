"""One server of a fleet: its client, its health, its models, its load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llm.address import label_of
from llm.breaker import Breaker, State, Trial
from llm.census import Census
from llm.choice import Candidate, Readiness
from llm.client import OllamaClient
from llm.errors import (
    FirstTokenTimeoutError,
    IdleTimeoutError,
    ModelNotFoundError,
    OllamaBusyError,
    OllamaUnreachableError,
    PermanentLLMError,
    StreamCutError,
)

# What says that the server is not well. A failed request (OllamaFailedError) may be the model's
# fault: who asks for a broken model must not close the server to all others.
SERVERS_FAULT = (
    OllamaUnreachableError,
    OllamaBusyError,
    FirstTokenTimeoutError,
    IdleTimeoutError,
    StreamCutError,
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """How a server is seen from here."""

    url: str
    breaker: State
    in_flight: int


class Server:
    """An Ollama among several. Belongs to one event loop.

    `on_change` is called when a call may have become possible that was not before.
    """

    def __init__(
        self, client: OllamaClient, *, breaker: Breaker, on_change: Callable[[], None]
    ) -> None:
        self.url = client.base_url
        self.label = label_of(self.url)
        self.client = client
        self.breaker = breaker
        self.census = Census(client)
        self.in_flight = 0
        self._on_change = on_change

    @property
    def state(self) -> ServerState:
        """How the server stands now."""
        return ServerState(self.url, self.breaker.state, self.in_flight)

    def candidate(self, model: str) -> Candidate:
        """The server as a choice for a call of `model`."""
        return Candidate(self.url, self.readiness(model), self.in_flight)

    def readiness(self, model: str) -> Readiness:
        """How soon it can answer with `model`."""
        return self.census.readiness(model)

    @contextmanager
    def calling(self, model: str) -> Iterator[Trial]:
        """Make a call within the block: it counts as load, and its end counts for the breaker."""
        trial = self.breaker.begin()
        self.in_flight += 1
        try:
            yield trial
        except SERVERS_FAULT:
            trial.failed()
            raise
        except ModelNotFoundError:
            self.census.note_absent(model)
            trial.succeeded()
            raise
        except PermanentLLMError:
            trial.succeeded()  # it refuses, so it is well
            raise
        else:
            trial.succeeded()
        finally:
            self.in_flight -= 1
            trial.abandoned()
            self._on_change()

    def answers(self, model: str, trial: Trial) -> None:
        """The first piece of a reply has come."""
        trial.answered()
        self.census.note_warm(model)
        self._on_change()

    async def aclose(self) -> None:
        """Stop looking, and close all connections."""
        await self.census.aclose()
        await self.client.aclose()
