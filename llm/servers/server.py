"""One server of a fleet: its client, its health, its models, its load."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from llm.errors import (
    FirstTokenTimeoutError,
    IdleTimeoutError,
    LLMError,
    ModelNotFoundError,
    OllamaBusyError,
    OllamaFailedError,
    OllamaUnreachableError,
    PermanentLLMError,
    RetryableLLMError,
    StreamCutError,
    TotalTimeoutError,
)
from llm.http.client import OllamaClient
from llm.http.shared_tasks import SharedTasks, result_of
from llm.servers.breaker import Breaker, Trial
from llm.servers.choice import Candidate, Readiness
from llm.servers.pull import Pulls
from llm.servers.warmup import Warmer
from llm.servers.watchdog import Watchdog
from llm.wire.address import label_of
from llm.wire.error_map import KILLED
from llm.wire.models import full_name
from llm.wire.requests import ChatRequest
from llm.wire.timeouts import KEEP_WARM_S, LOAD_TIMEOUT_S, Timeouts

logger = logging.getLogger(__name__)

UNLOAD_TIMEOUT_S = 10.0
RESTART_PAUSE_S = 2.0

# What says that the server is not well. A failed request (OllamaFailedError) may be the model's
# fault: jobs with a broken model must not close the server to all others (docs/decisions.md,
# "A failed request does not count against the server").
SERVERS_FAULT = (
    OllamaUnreachableError,
    OllamaBusyError,
    FirstTokenTimeoutError,
    IdleTimeoutError,
    StreamCutError,
)


class Server:
    """An Ollama among several. Belongs to one event loop.

    `on_change` is called when a call may have become possible that was not before.
    """

    def __init__(
        self,
        client: OllamaClient,
        *,
        timeouts: Timeouts,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        keep_warm_s: float = KEEP_WARM_S,
        pulls: Pulls | None = None,
        on_change: Callable[[], None],
    ) -> None:
        self.url = client.base_url
        self.label = label_of(self.url)
        self.client = client
        self.breaker = Breaker()
        self.catalog = client.catalog
        self.warmer = Warmer(
            client,
            limits=replace(timeouts, first_token_s=load_timeout_s, total_s=load_timeout_s),
            keep_warm_s=keep_warm_s,
            on_loaded=self.catalog.note_loaded,
            pull=None if pulls is None else partial(pulls.into, client),
        )
        self.in_flight = 0
        self._timeouts = timeouts
        self._on_change = on_change
        self._watchdog = Watchdog()
        self._restarts = SharedTasks()
        self._looks = SharedTasks()

    def candidate(self, model: str) -> Candidate:
        """The server as a choice for a call of `model`."""
        return Candidate(self.url, self.readiness(model), self.in_flight)

    def readiness(self, model: str) -> Readiness:
        """How soon the server could answer with `model`, as far as is known."""
        is_installed = self.catalog.is_installed(model)
        if is_installed is None:
            return Readiness.UNKNOWN
        if self.catalog.is_loaded(model):
            return Readiness.WARM
        return Readiness.COLD if is_installed else Readiness.ABSENT

    @contextmanager
    def calling(self, request: ChatRequest) -> Iterator[Trial]:
        """Make a call within the block: it counts as load, and its end as success or failure."""
        trial = self.breaker.begin()
        self.in_flight += 1
        try:
            yield trial
        except SERVERS_FAULT as exc:
            # Of a cloud model's failures only a lost connection is this server's.
            if isinstance(exc, OllamaUnreachableError) or not _is_cloud(request.model):
                trial.failed()
            if isinstance(exc, FirstTokenTimeoutError):
                self._timed_out(request)
            raise
        except PermanentLLMError as exc:
            trial.succeeded()  # it refuses, so it is well
            if isinstance(exc, ModelNotFoundError):
                self.catalog.note_missing(request.model)
                self.warmer.forget(request.model)
            raise
        else:
            trial.succeeded()
            self.warmer.note_used(request.model)
        finally:
            # A cancel, or a reader that leaves, says nothing of the server.
            self.in_flight -= 1
            trial.abandoned()
            self._on_change()

    def answers(self, model: str, trial: Trial) -> None:
        """The first piece of a reply has come."""
        trial.answered()
        self.catalog.note_loaded(model)
        self._watchdog.answered(model)
        self._on_change()

    async def load(self, request: ChatRequest) -> None:
        """Have the model loaded as the chat needs it. Raises the LLMError of the load."""
        try:
            await self.warmer.ensure(request)
        except OllamaFailedError as exc:
            # Nothing but memory is what the kernel kills a runner for that answers nobody yet.
            exc.is_outage = exc.is_outage or KILLED in str(exc)
            raise

    async def look_after(self, error: LLMError) -> None:
        """Mark a failure as an outage if the server does not answer a look at its health either."""
        # A reply that took too long in all was coming until its end.
        if isinstance(error, TotalTimeoutError) or not isinstance(error, RetryableLLMError):
            return
        if not error.is_outage:
            # One look for all calls that fail at the same time.
            look = self._looks.once("health", self.client.health_check)
            error.is_outage = not await result_of(look)

    async def aclose(self) -> None:
        """Stop what is done in the background, and close all connections."""
        await self._restarts.aclose()
        await self._looks.aclose()
        await self.client.aclose()
        await self.warmer.aclose()

    def _timed_out(self, request: ChatRequest) -> None:
        # Perhaps it was dropped from memory: the next chat looks to that first.
        self.warmer.forget(request.model)
        if self._watchdog.timed_out(request.model):
            self._restarts.once(request.model, lambda: self._restart_if_loaded(request))

    async def _restart_if_loaded(self, request: ChatRequest) -> None:
        """Unload and load a model that is in /api/ps and answers no call."""
        model = request.model
        # A model that is not loaded has not hung: it may be waiting to be loaded.
        try:
            loaded = await self.catalog.loaded()
        except LLMError:
            return  # the server is silent, not the model alone
        if full_name(model) not in {one.name for one in loaded}:
            return
        logger.warning(
            "%s has %s loaded, but no call gets a token; the model is unloaded and loaded again, "
            "and its calls fail and are tried again: if this goes on, restart that Ollama",
            self.url,
            model,
        )
        self.catalog.note_unloaded(model)
        # A failure of the model, not of the server: it is none of SERVERS_FAULT.
        self.client.abort(
            model, OllamaFailedError(f"Ollama at {self.url} restarts {model}, which hangs")
        )
        self.warmer.restart(request, lambda: self._unload(model))

    async def _unload(self, model: str) -> None:
        limits = replace(self._timeouts, first_token_s=UNLOAD_TIMEOUT_S, total_s=UNLOAD_TIMEOUT_S)
        try:
            await self.client.chat(ChatRequest(model=model, keep_alive=0), timeouts=limits)
        except LLMError as exc:
            logger.warning(
                "%s cannot unload %s, which is loaded again as it is: %s", self.url, model, exc
            )
        # Other workers may do the same just now; and the runner has to end.
        await asyncio.sleep(RESTART_PAUSE_S * random.uniform(0.5, 1))  # noqa: S311  # no secret


def _is_cloud(model: str) -> bool:
    """Whether the server only passes the calls of this model on to Ollama's cloud."""
    return full_name(model).endswith((":cloud", "-cloud"))
