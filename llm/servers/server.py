"""One server of a fleet: its client, its health, its models, its load."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
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
    StreamCutError,
    TotalTimeoutError,
)
from llm.http.client import OllamaClient
from llm.http.dialect import OLLAMA
from llm.http.shared_tasks import SharedTasks
from llm.servers.breaker import Breaker, Trial
from llm.servers.choice import Candidate, Readiness
from llm.servers.health import ServerHealth
from llm.servers.pull import Pulls
from llm.servers.stays import KeepWarm
from llm.servers.warmup import Warmer
from llm.servers.watchdog import SharedAnswers, Watchdog
from llm.wire.address import label_of
from llm.wire.error_map import KILLED
from llm.wire.models import full_name, is_cloud
from llm.wire.requests import ChatRequest
from llm.wire.timeouts import LOAD_TIMEOUT_S, Timeouts
from telemetry.labels import SERVERS
from telemetry.metrics import BREAKER_OPEN

logger = logging.getLogger(__name__)

UNLOAD_TIMEOUT_S = 10.0

LONG_ENOUGH = 0.9
"""The part of LLM_TOTAL_TIMEOUT for which a model must be silent to count as hung."""

TELL_EVERY = 1 / 60
"""How often processes tell each other that a model answers, as a part of LLM_TOTAL_TIMEOUT."""

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
        keep: KeepWarm | None = None,
        pulls: Pulls | None = None,
        answers: SharedAnswers | None = None,
        on_change: Callable[[], None],
    ) -> None:
        self.url = client.base_url
        self.label = label_of(self.url)
        self.client = client
        self.breaker = Breaker()
        self.health = ServerHealth(client)
        BREAKER_OPEN.labels(SERVERS.label(self.label)).set_function(self._is_left_alone)
        self.catalog = client.catalog
        self.warmer = Warmer(
            client,
            limits=replace(timeouts, first_token_s=load_timeout_s, total_s=load_timeout_s),
            keep=keep,
            on_loaded=self.catalog.note_loaded,
            pull=None
            if pulls is None or client.dialect is not OLLAMA
            else partial(pulls.into, client),
        )
        self.in_flight = 0
        self.is_paused = False
        """Whether calls go to other servers, where one of them may have the model."""
        self._timeouts = timeouts
        self._on_change = on_change
        self._watchdog = Watchdog()
        self._answers = answers
        self._tells_again_at: dict[str, float] = {}
        self._restarts = SharedTasks()

    def candidate(self, model: str) -> Candidate:
        """The server as a choice for a call of `model`."""
        return Candidate(self.url, self.readiness(model), self.in_flight)

    def readiness(self, model: str) -> Readiness:
        """How soon the server could answer with `model`, as far as is known."""
        is_installed = self.catalog.is_installed(model)
        if is_installed is None:
            return Readiness.UNKNOWN
        if self.catalog.is_loaded(model) or self.catalog.is_elsewhere(model):
            return Readiness.WARM
        return Readiness.COLD if is_installed else Readiness.ABSENT

    @contextmanager
    def calling(self, request: ChatRequest) -> Iterator[Trial]:
        """Make a call within the block: it counts as load, and its end as success or failure."""
        trial, began = self.breaker.begin(), time.monotonic()
        self.in_flight += 1
        try:
            yield trial
        except LLMError as exc:
            self._failed(request, exc, trial, time.monotonic() - began)
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
        self._watchdog.answered(full_name(model))
        self._on_change()

    def heard(self, model: str) -> None:
        """A piece of a reply has come; `model` as `full_name` has it, for this is often."""
        self._watchdog.heard(model)
        if self._answers is None:
            return
        now = time.monotonic()
        if now >= self._tells_again_at.get(model, 0.0):
            self._tells_again_at[model] = now + self._tell_every_s
            self._answers.note(self.url, model)

    async def load(self, request: ChatRequest) -> None:
        """Have the model loaded as the chat needs it. Raises the LLMError of the load."""
        # A load within the chat would end with the chat's time-out or cancel, each time from zero
        # (docs/ollama.md, Loading).
        if self.warmer.is_warm(request):
            return
        try:
            # That /api/ps lists it is no sign of life: a model that hangs is listed, too.
            if await self.warmer.ensure(request):
                self._watchdog.heard(full_name(request.model))
        except OllamaFailedError as exc:
            # Nothing but memory is what the kernel kills a runner for that answers nobody yet.
            exc.is_outage = exc.is_outage or KILLED in str(exc)
            raise

    def pause(self, is_paused: bool) -> None:
        """Take the server out of the choice, or back; out of it, it is kept warm no longer."""
        if is_paused and not self.is_paused:
            self.warmer.rest()
        self.is_paused = is_paused

    async def aclose(self) -> None:
        """Stop what is done in the background, and close all connections."""
        await self._restarts.aclose()
        await self.health.aclose()
        await self.client.aclose()
        await self.warmer.aclose()

    def _failed(self, request: ChatRequest, error: LLMError, trial: Trial, after_s: float) -> None:
        model = request.model
        if isinstance(error, SERVERS_FAULT):
            # Of a cloud model's failures only a lost connection is this server's.
            if isinstance(error, OllamaUnreachableError) or not is_cloud(model):
                trial.failed()
        elif isinstance(error, PermanentLLMError):
            trial.succeeded()  # it refuses, so it is well
        if isinstance(error, ModelNotFoundError):
            self.catalog.note_missing(model)
        if isinstance(error, ModelNotFoundError | FirstTokenTimeoutError):
            # After a time-out perhaps it was dropped from memory: the next chat looks first.
            self.warmer.forget(model)
        if isinstance(error, TotalTimeoutError) and not trial.has_answered:
            self._waited_in_vain(request, trial, after_s)

    def _is_left_alone(self) -> float:
        return 0.0 if self.breaker.is_closed else 1.0

    @property
    def _tell_every_s(self) -> float:
        return self._timeouts.total_s * TELL_EVERY

    def _waited_in_vain(self, request: ChatRequest, trial: Trial, waited_s: float) -> None:
        """A call got no byte in all its time, though its server lives and lists the model."""
        silence_s = self._timeouts.total_s * LONG_ENOUGH
        name = full_name(request.model)
        # One that was moved here had less time: that proves nothing.
        if waited_s >= silence_s and self._watchdog.is_silent(name, silence_s):
            trial.failed()
            if self.catalog.is_elsewhere(request.model):
                return
            if self._watchdog.waited_in_vain(name, again_after_s=self._timeouts.first_token_s):
                self._restarts.once(name, lambda: self._restart_if_hung(request, silence_s))

    async def _restart_if_hung(self, request: ChatRequest, silence_s: float) -> None:
        """Unload and load a model that is in /api/ps and answers no call, of any process."""
        model = full_name(request.model)
        # What the others tell is late by as much as they tell it seldom.
        within_s = silence_s + self._tell_every_s
        if self._answers is not None and await self._answers.is_any_within(
            self.url, model, within_s
        ):
            return
        # A model that is not loaded has not hung: it may be waiting to be loaded.
        try:
            if await self.catalog.loaded_for(model) is None:
                return
        except LLMError:
            return  # the server is silent, not the model alone
        if self._watchdog.may_restart(model):
            self._restart(request)

    def _restart(self, request: ChatRequest) -> None:
        model = request.model
        logger.warning(
            "%s has loaded %s, but it does not respond; the model is reloaded, and its calls "
            "fail and are tried again: if this continues, restart that Ollama",
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
                "%s cannot unload %s, so it is loaded again without: %s", self.url, model, exc
            )
        # Other workers may do the same just now; and the runner has to end.
        await asyncio.sleep(RESTART_PAUSE_S * random.uniform(0.5, 1))  # noqa: S311  # no secret


def not_paused(servers: Sequence[Server], model: str) -> Sequence[Server]:
    """The servers that may get a call of `model`: those that are not paused, or all where none of
    these may have it. A turn that has begun ends there; others do not begin."""
    left = [server for server in servers if not server.is_paused]
    if len(left) == len(servers):
        return servers
    is_able = any(server.readiness(model) is not Readiness.ABSENT for server in left)
    return left if is_able else servers
