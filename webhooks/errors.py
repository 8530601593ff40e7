"""Errors of webhooks.

WebhookError
├── BadAddress           an address that cannot be one, or that no setting allows
└── NotDelivered         the receiver does not have it
    ├── Undeliverable    and never will: its address is not allowed, or it says 410 Gone
    └── Failed           now: it may have it later
"""


class WebhookError(Exception):
    """The base of all of them. Its message holds no address: a path may be a secret."""


class BadAddress(WebhookError, ValueError):
    """An address that cannot be one of a receiver, or that WEBHOOK_HOSTS does not allow."""


class NotDelivered(WebhookError):
    """The receiver does not have the event."""


class Undeliverable(NotDelivered):
    """It is not to be sent again by itself."""


class Failed(NotDelivered):
    """It may be delivered later. Whether the receiver has read it is not known."""
