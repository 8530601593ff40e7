"""Sending the webhooks that are due: soon after a job has ended, and again until one is delivered.

Each worker that has WEBHOOK_HOSTS and WEBHOOK_SECRETS sends, on its event loop. What it sends it
has claimed for a while, so that two workers do not send the same; where it dies, another one does.
A receiver that is slow or away holds `AT_ONCE` connections of a process, and nobody else up.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import replace

from opentelemetry.trace import SpanKind

from memory import AsyncConnection, Command, Keyspace, MemoryServiceError, index
from memory.ids import shown_id
from memory.quoting import quoted
from memory.webhooks import queue
from memory.webhooks.queue import Webhook
from tasks.end.webhooks import body_of
from telemetry import tracing
from telemetry.metrics import DELIVERIES
from webhooks.errors import Failed, Undeliverable
from webhooks.posting import Poster
from webhooks.settings import WebhookSettings

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""To one host."""
MOST_AT_ONCE = 64
"""In all: so many hosts as a sixteenth of it may stand still, and the others go on."""
SETTLING_S = 20.0
"""How long a sender may take to note what came of a try, before another one tries."""
PATIENCE_S = 1.0
GROWTH = 4


class WebhookSender:
    """Sends webhooks for one process; used on its event loop, but for `nudge` only there."""

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        settings: WebhookSettings,
        *,
        pause_s: float,
        poster: Poster | None = None,
    ) -> None:
        """`pause_s`: how often it looks where nobody says that there is one."""
        self._memory = memory
        self._keyspace = keyspace
        self._poster = poster or Poster(settings, at_once=AT_ONCE)
        self._settings = settings
        self._pause_s = pause_s
        self._lease_ms = round((settings.timeout_s + SETTLING_S) * 1000)
        self._is_wanted = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._to_host: Counter[str] = Counter()
        self._failing: set[str] = set()

    def nudge(self) -> None:
        """Have it look at once: a webhook was noted. On its event loop."""
        self._is_wanted.set()

    async def run_forever(self) -> None:
        """Send what is due until cancelled; what is under way then is sent again by another."""
        is_away = False
        while True:
            try:
                await self.send_due()
                is_away = False
            except MemoryServiceError as exc:
                if not is_away:
                    logger.warning("webhooks wait, as Redis cannot be asked; again soon: %s", exc)
                is_away = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._is_wanted.wait()
            self._is_wanted.clear()

    async def send_due(self) -> int:
        """Begin to send what is due, as far as there is room; how many. Raises
        MemoryServiceError."""
        now_ms = await self._memory.run(index.server_time_ms())
        hosts = await self._memory.run(queue.due_hosts(self._keyspace, now_ms=round(now_ms)))
        begun = 0
        # Who has the fewest under way comes first: one that stands still is the last.
        for host in sorted(hosts, key=lambda one: self._to_host[one]):
            room = min(AT_ONCE - self._to_host[host], MOST_AT_ONCE - len(self._sending))
            if room <= 0:
                continue
            claim = queue.claim(self._keyspace, host, limit=room, lease_ms=self._lease_ms)
            claimed = await self._memory.run(claim)
            for event_id in claimed.damaged:
                logger.error("webhook %s cannot be read; it was removed", quoted(event_id))
                await self._memory.run(queue.drop_damaged(self._keyspace, host, event_id))
            for webhook in claimed.webhooks:
                self._begin(webhook)
            begun += len(claimed.webhooks)
        return begun

    async def aclose(self) -> None:
        """Wait a little for what is under way, and stop the rest: it is sent again."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=PATIENCE_S)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._poster.aclose()

    def _begin(self, webhook: Webhook) -> None:
        task = asyncio.create_task(self._send(webhook), context=Context())
        self._sending.add(task)
        self._to_host[webhook.host] += 1
        task.add_done_callback(lambda done: self._ended(webhook.host, done))

    def _ended(self, host: str, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._to_host[host] -= 1
        if not self._to_host[host]:
            del self._to_host[host]
        # There is room for the next one.
        self._is_wanted.set()

    async def _send(self, webhook: Webhook) -> None:
        tried = replace(webhook, attempts=webhook.attempts + 1)
        try:
            with _traced(tried):
                place = tracing.carrier()
                await self._poster.post(webhook.url, webhook.event_id, body_of(webhook), place)
        except Undeliverable as exc:
            settle = self._given_up(replace(tried, error=str(exc)))
        except Failed as exc:
            settle = self._failed(replace(tried, error=str(exc)))
        else:
            DELIVERIES.labels("delivered").inc()
            self._failing.discard(webhook.host)
            settle = queue.end(self._keyspace, webhook)
        try:
            await self._memory.run(settle)
        except MemoryServiceError as exc:
            logger.warning(
                "what came of webhook %s is not noted, so it is sent again: %s",
                quoted(webhook.event_id),
                exc,
            )

    def _failed(self, webhook: Webhook) -> Command[bool]:
        if webhook.attempts >= self._settings.max_attempts:
            return self._given_up(webhook)
        DELIVERIES.labels("put_off").inc()
        longest_s = self._settings.retry_max_s
        wait_s = min(self._settings.retry_base_s * GROWTH ** (webhook.attempts - 1), longest_s)
        # Else all that one outage has met come back at once.
        wait_s = min(wait_s * random.uniform(0.8, 1.2), longest_s)  # noqa: S311  # no secret
        # Once for an outage: a thousand may fail in it.
        level = logging.DEBUG if webhook.host in self._failing else logging.WARNING
        self._failing.add(webhook.host)
        logger.log(
            level,
            "webhook %s, and perhaps others, did not reach %s: %s; it is sent again in %.1f s",
            quoted(webhook.event_id),
            quoted(webhook.host),
            webhook.error,
            wait_s,
        )
        return queue.put_off(self._keyspace, webhook, wait_ms=round(wait_s * 1000))

    def _given_up(self, webhook: Webhook) -> Command[bool]:
        DELIVERIES.labels("given_up").inc()
        logger.error(
            "webhook %s to %s is a dead letter after attempt %d: %s; `griot dead-letters requeue` "
            "sends it again",
            quoted(webhook.event_id),
            quoted(webhook.host),
            webhook.attempts,
            webhook.error,
        )
        return queue.give_up(self._keyspace, webhook)


@contextmanager
def _traced(webhook: Webhook) -> Iterator[None]:
    """The span of one try to send a webhook, in the trace of its job if that has one."""
    host, _, port = webhook.host.rpartition(":")
    facts: tracing.Facts = {
        "http.request.method": "POST",
        "server.address": host or webhook.host,
        "server.port": int(port) if port.isdigit() else None,
        "griot.job.id": shown_id(webhook.job_id),
        "griot.webhook.try": webhook.attempts,
    }
    with tracing.at(webhook.trace), tracing.child("webhook", kind=SpanKind.CLIENT) as span:
        tracing.note(span, facts)
        yield
