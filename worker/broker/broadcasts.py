"""Broadcasts over a Redis broker: remote control, which anybody with the broker's rights can send.

What is worked around in kombu 5.7.0 is named at its place, as in `worker.broker.transport`.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its transports are not.

import logging
from collections.abc import Mapping
from typing import ClassVar

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str

from worker.broker.messages import MALFORMED, check_nesting, check_size, decode_message, fault_of

logger = logging.getLogger(__name__)


class SoundMessage(virtual.Message):
    """Raises one of MALFORMED where kombu cannot decode the body, which it else notes in `errors`,
    and where the body is nested too deeply."""

    def __init__(self, payload: Mapping[str, object], channel: object, **kwargs: object) -> None:
        super().__init__(payload, channel, **kwargs)
        if self.errors:
            raise ValueError("the body cannot be decoded") from self.errors[0][1]
        if isinstance(self.body, bytes | str):
            check_nesting(self.body)


class BroadcastChannel(kombu_redis.Channel):
    """A channel that ignores what is no broadcast."""

    Message = SoundMessage  # type: ignore[assignment]  # kombu: the very class
    most_bytes: ClassVar[int]
    """How large a message may be."""

    def _receive_one(self, pubsub: redis.client.PubSub) -> bool | None:
        # As in kombu 5.7.0, which guards against what is not JSON and writes it to the log, and
        # against nothing else: deep nesting ended the worker.
        try:
            response = pubsub.parse_response()
        except self.connection_errors:
            self._in_listen = None  # type: ignore[assignment]  # kombu says: False
            raise
        if not isinstance(response, list | tuple):
            return None
        payload = self._handle_message(pubsub, response)
        if not bytes_to_str(payload["type"]).endswith("message") or not payload["data"]:
            return None
        channel = bytes_to_str(payload["channel"])
        if channel[0] == "/":
            _, _, channel = channel.partition(".")
        return self._take_broadcast(payload["data"], channel.split("/", 1)[0])

    def _take_broadcast(self, data: bytes, exchange: str) -> bool:
        try:
            check_size(data, self.most_bytes)
            return bool(self._deliver_fanout_message(decode_message(data), exchange))
        except MALFORMED as error:
            logger.warning("a broadcast on %r is ignored (%s)", exchange, fault_of(error))
            return False
