"""What kombu would send to a broker that is Redis, without sending it."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its transports are not.

from collections.abc import Callable

from kombu.messaging import Producer


class _Recorder:
    """Takes the place of kombu 5.7.0's batch, and keeps the commands."""

    def __init__(self) -> None:
        self.commands: list[tuple[object, ...]] = []
        self.prefix = ""

    def publish(self, channel: object, message: object, **options: object) -> None:
        """Have the channel say what it would send."""
        self.prefix = str(getattr(channel, "global_keyprefix", ""))
        named = {name: options[name] for name in ("exchange", "routing_key")}
        channel.basic_publish(message, **named, _publish_batch=self)  # type: ignore[attr-defined]

    def add(self, *command: object) -> None:
        """One command."""
        self.commands.append(command)


def recorded(producer: Producer, publish: Callable[[], object]) -> tuple[str, str] | None:
    """The list and the element that `publish` would add to it; None where it is not one LPUSH.

    What it declares is declared. Raises what `publish` raises.
    """
    recorder, local = _Recorder(), producer._batch_local
    local.current = recorder
    try:
        publish()
    finally:
        del local.current
    match recorder.commands:
        case [("lpush", str(key), str(element))]:
            return recorder.prefix + key, element
    return None
