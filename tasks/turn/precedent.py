"""What the last turns of a session tell of their prompts: each reply bears a record of it. Pure."""

from collections.abc import Mapping, Sequence

from llm import Precedent


def precedent_of(history: Sequence[Mapping[str, object]], model: str) -> Precedent | None:
    """The prompt of the last turn that bears a record; None where there is none.

    What was counted for it counts for `model` only if that was asked, and saw all of it.
    """
    for end in range(len(history) - 1, -1, -1):
        reply = history[end]
        shown = reply.get("history_messages")
        if reply.get("role") == "assistant" and isinstance(shown, int) and shown >= 0:
            question = next((at for at in range(end, -1, -1) if _is_users(history[at])), None)
            if question is None:
                return None
            return Precedent(question - shown, end, _counted(reply, model))
    return None


def _counted(reply: Mapping[str, object], model: str) -> int:
    receipt = reply.get("receipt")
    if not isinstance(receipt, Mapping) or reply.get("model") != model:
        return 0
    counted = receipt.get("prompt_tokens")
    return counted if isinstance(counted, int) and not receipt.get("truncated") else 0


def _is_users(message: Mapping[str, object]) -> bool:
    return message.get("role") == "user"
