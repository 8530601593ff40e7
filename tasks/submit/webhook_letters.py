"""Webhooks that were given up: looked through, sent again, dropped.

They are dead letters as jobs are, under the id of their event.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from memory import audit
from memory.webhooks import queue
from memory.webhooks.queue import FULL, Webhook
from tasks.end.webhooks import EVENT
from tasks.process.services import producer_services

PAGE = 500


@dataclass(frozen=True, slots=True)
class WebhookLetter:
    """A webhook that was given up: when, whose job it is about, and why."""

    webhook: Webhook
    agent_id: str
    session_id: str
    died_at_ms: int

    @property
    def reason(self) -> str:
        """Why, with the host; the rest of an address may be a secret."""
        return f"webhook to {self.webhook.host}: {self.webhook.error or FULL}"


def webhook_letters() -> Iterator[WebhookLetter]:
    """All of them, the latest first. Raises memory.MemoryServiceError."""
    services = producer_services()
    found = services.memory.run(queue.letter_ids(services.keyspace))
    for start in range(0, len(found), PAGE):
        page = dict(found[start : start + PAGE])
        for webhook in services.memory.run(queue.find(services.keyspace, list(page))):
            yield _letter(webhook, page[webhook.event_id])


def find_webhook_letter(event_id: str) -> WebhookLetter | None:
    """The webhook that was given up under this id; None where there is none."""
    if not event_id.startswith(EVENT):
        return None
    services = producer_services()
    died_at_ms = services.memory.run(queue.died_at(services.keyspace, event_id))
    if died_at_ms is None:
        return None
    found = services.memory.run(queue.find(services.keyspace, [event_id]))
    return _letter(found[0], died_at_ms) if found else None


def requeue_webhook(letter: WebhookLetter) -> None:
    """Have a webhook sent again under the same id, with all its attempts. Safe to repeat. It is in
    the audit."""
    services = producer_services()
    again = replace(letter.webhook, attempts=0, error="")
    with _recorded(audit.Deed.REQUEUE, letter) as entry:
        services.memory.run(queue.put_off(services.keyspace, again, wait_ms=0))
        entry.outcome = f"webhook {again.event_id} is sent again"


def drop_webhook(letter: WebhookLetter) -> None:
    """Remove a webhook for good. It is in the audit."""
    services = producer_services()
    with _recorded(audit.Deed.DROP, letter) as entry:
        services.memory.run(queue.end(services.keyspace, letter.webhook))
        entry.outcome = f"webhook {letter.webhook.event_id} is dropped"


def _letter(webhook: Webhook, died_at_ms: int) -> WebhookLetter:
    keys = producer_services().keyspace.find_session(webhook.session)
    agent_id, session_id = ("", "") if keys is None else (keys.agent_id, keys.session_id)
    return WebhookLetter(webhook, agent_id, session_id, died_at_ms)


def _recorded(deed: audit.Deed, letter: WebhookLetter) -> AbstractContextManager[audit.OngoingDeed]:
    services = producer_services()
    return audit.recorded(
        services.memory,
        services.keyspace,
        deed,
        agent_id=letter.agent_id,
        session_id=letter.session_id,
        job_id=letter.webhook.job_id,
    )
