"""What was said before, as a conversation shows it when it begins. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memory import is_cancelled
from worker.cli.chat.sentences import CANCELLED

YOU = "you"


@dataclass(frozen=True, slots=True)
class Said:
    """One message: whose it is, its text, and what is remarked on it."""

    who: str
    text: str
    remark: str = ""


def said_before(messages: Sequence[Mapping[str, object]], agent: str) -> list[Said]:
    """The words of a history in their order; calls of tools and their results are left out."""
    words = [one for one in messages if one["role"] != "tool" and "tool_calls" not in one]
    after: list[Mapping[str, object]] = [*words[1:], {}]
    return [
        Said(
            who=YOU if one["role"] == "user" else agent,
            text=str(one.get("content") or ""),
            remark=" ".join(filter(None, (_images(one), _cancelled(one, following)))),
        )
        for one, following in zip(words, after, strict=False)
    ]


def _images(message: Mapping[str, object]) -> str:
    images = message.get("images")
    count = len(images) if isinstance(images, list) else 0
    return f"({count} image{'s' * (count > 1)})" if count else ""


def _cancelled(message: Mapping[str, object], following: Mapping[str, object]) -> str:
    """The mark of a turn that was cancelled, at its last message."""
    is_last = message.get("job_id") != following.get("job_id")
    return CANCELLED if is_cancelled(message) and is_last else ""
