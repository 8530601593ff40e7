"""The worker's side of a process: settings → connections → services, each built on first use.

Entry points (a task, a command, a timer) look things up here. Everything below them is handed what
it uses.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

from agents import Toolbox
from children import json_schema
from children.pool import Children, Limits
from llm import Capabilities, ContextLimits, Fleet
from memory import AsyncConnection, JobToWake, SessionKeys
from tasks.end.loop_delivery import LoopDelivery
from tasks.process.app import app
from tasks.process.cancel_watch import watch_cancellations
from tasks.process.embedding.embedder import Embedder
from tasks.process.head_waker import HeadWaker
from tasks.process.live_events import Relay
from tasks.process.per_process import PerProcess
from tasks.process.runtime import Runtime
from tasks.process.services import ProducerServices, producer_services
from tasks.process.shared_answers import AnswersInMemory
from tasks.process.slots import BoundedModels, SlotNotifier
from tasks.process.stopping import RunningLeases
from tasks.process.summaries import Summaries
from tasks.process.turns_now import TurnsNow
from tasks.process.waiting.outages import Outages
from tasks.process.wakeup import wake
from tasks.process.webhook_sender import WebhookSender

MOST_WAKERS = 4
SPARE_CONNECTIONS = 10
"""Connections to a model server besides those of the turns: lookups, loads, health checks."""

MOST_CHECKERS = 2
CHECKER = Limits(cpu_s=2.0, memory_bytes=1 << 30, niceness=10)
"""They give way to everything else: who has a dear schema waits, and nobody besides."""


class WorkerServices:
    """What the attempts of one worker process share; used on its event loop, but for `runtime`
    and `toolbox`."""

    def __init__(self, producer: ProducerServices, runtime: Runtime) -> None:
        self.settings = producer.settings
        self.keyspace = producer.keyspace
        self.queue_wait = producer.queue_wait
        self.archive = producer.archive
        self.runtime = runtime
        self.leases = RunningLeases()
        self.turns = TurnsNow()
        self.concurrency = self.settings.queue.concurrency
        """The most turns that this process may run at once; a pool that can grow sets it."""
        self.take_on: Callable[[SessionKeys, JobToWake], bool] = lambda *_: False
        """Begins the head of a session in this process, without a message, or says False; a pool
        that can sets it."""
        self._watching: asyncio.Task[None] | None = None

    @cached_property
    def memory(self) -> AsyncConnection:
        """The connection of the event loop."""
        return AsyncConnection(self.settings.memory)

    @cached_property
    def wakers(self) -> ThreadPoolExecutor:
        """Threads that publish wake-ups, and do nothing slower; from any thread."""
        return ThreadPoolExecutor(MOST_WAKERS, "griot-wake")

    @cached_property
    def ends(self) -> LoopDelivery:
        """What delivers the ends of jobs."""
        claim_ms = round(self.settings.queue.grace_s * 1000)
        return LoopDelivery(
            app,
            lambda: self.memory,
            self.keyspace,
            results=self.settings.plain_results,
            claim_ms=claim_ms,
            on_webhook=self.webhooks.nudge,
        )

    @cached_property
    def webhooks(self) -> WebhookSender:
        """What sends webhooks."""
        settings, pause_s = self.settings.webhooks, self.settings.queue.sweep_s
        return WebhookSender(self.memory, self.keyspace, settings, pause_s=pause_s)

    @cached_property
    def ollama(self) -> Fleet:
        """The model servers."""
        return Fleet.from_settings(
            self.settings.llm,
            max_connections=self.concurrency + SPARE_CONNECTIONS,
            models=self.settings.models,
            answers=AnswersInMemory(self.memory, self.keyspace),
        )

    @cached_property
    def toolbox(self) -> Toolbox:
        """The tools that models may call. Raises InvalidProfiles."""
        return Toolbox(self.settings.profiles, self.settings.agents)

    @cached_property
    def checkers(self) -> Children:
        """The processes in which the forms of replies are checked, where that may be dear."""
        return Children(json_schema.WORK, most=MOST_CHECKERS, limits=CHECKER)

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the models can do."""
        return Capabilities(self.ollama.capabilities)

    @cached_property
    def context_limits(self) -> ContextLimits:
        """How long a prompt of each model may be."""
        return ContextLimits(self.ollama.servers, self.settings.llm)

    @cached_property
    def summaries(self) -> Summaries:
        """The summaries to be made when nobody waits."""
        return Summaries(
            self.memory,
            self.keyspace,
            self.context_limits,
            self.ollama.stream,
            self.settings.llm,
            is_used=self.settings.profiles.has_summaries,
            ttl_of=self.settings.ttl_of,
            is_paused=self.outages.is_paused,
        )

    @cached_property
    def relay(self) -> Relay:
        """What writes events to the sessions' streams."""
        return Relay(self.memory, ttl_of=self.settings.ttl_of)

    @cached_property
    def slot_notifier(self) -> SlotNotifier:
        """What wakes the sessions that are granted a slot."""
        return SlotNotifier(
            self.memory,
            queue_wait=self.queue_wait,
            lease_ms=self.settings.queue.lease_ms,
            open_to=self.bounded_models.open_to,
            waker=self.head_waker,
        )

    @cached_property
    def head_waker(self) -> HeadWaker:
        """What wakes sessions that wait."""
        return HeadWaker(
            self.memory,
            self.keyspace,
            queue_wait=self.queue_wait,
            wake=partial(wake, app),
            wakers=self.wakers,
            take_on=self._taken_on,
        )

    @cached_property
    def embedder(self) -> Embedder:
        """What makes vectors."""
        return Embedder(
            self.memory,
            self.settings,
            self.ollama,
            self.bounded_models,
            self.slot_notifier,
            is_paused=self.outages.is_paused,
            most=self.concurrency,
        )

    @cached_property
    def outages(self) -> Outages:
        """Which model servers are away."""
        return Outages(self.memory, self.keyspace, self.ollama)

    @cached_property
    def bounded_models(self) -> BoundedModels:
        """Which models' calls are bounded."""
        llm, shares = self.settings.llm, self.settings.queue.shares
        return BoundedModels(self.keyspace, llm, self.ollama, self.outages, shares=shares)

    def _taken_on(self, keys: SessionKeys, head: JobToWake) -> bool:
        return self.take_on(keys, head)  # as it is then: a pool sets it when it starts

    async def aclose(self) -> None:
        """Deliver the ends that are under way, and end the child processes."""
        await self._close("embedder")
        await self.ends.aclose()
        await self.webhooks.aclose()
        await self.checkers.aclose()
        await self.toolbox.aclose()

    def close(self) -> None:
        """End and close all that was begun here, for a process that goes on with other settings;
        not from the event loop."""
        self.runtime.run(self._close("embedder", "ends", "webhooks", "checkers", "toolbox"))
        # With their connections still there, so that each closes what it has opened.
        self.runtime.cancel_all()
        self.runtime.run(self._close("ollama", "memory"))
        self.wakers.shutdown()

    async def _close(self, *names: str) -> None:
        for name in names:
            if name in vars(self):
                await getattr(self, name).aclose()

    def watch_cancellations(self) -> None:
        """Have this process stop the jobs that somebody cancels. Safe to repeat."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(
                watch_cancellations(
                    self.settings.memory, self.keyspace, self.leases, self.outages.pauses.read
                )
            )


_runtime = PerProcess(Runtime, has_settings=False)

worker_services = PerProcess(lambda: WorkerServices(producer_services(), _runtime()))
"""The worker's side of this process."""
