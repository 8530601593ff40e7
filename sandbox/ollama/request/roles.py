"""Orders of roles that a strict template refuses (docs/ollama.md, Errors). Pure.

The template is one of those that GGUF files bring along: one system message, first; then the user
and the assistant by turns, the user first; no other role.
"""

from sandbox.ollama.request.messages import Messages

_SYSTEM_FIRST = "System role only allowed at the beginning"
_TWO_ROLES = "Only user and assistant roles are supported!"
_BY_TURNS = "Conversation roles must alternate user/assistant/user/assistant/..."
_SYSTEM = {"system", "developer"}  # llama.cpp calls the developer so before the template sees it


def objection(messages: Messages) -> str:
    """What the template raises, "" if nothing."""
    roles = [str(message.get("role")) for message in messages]
    if not _SYSTEM.isdisjoint(roles[1:]):
        return _SYSTEM_FIRST
    turns = roles[1:] if roles and roles[0] in _SYSTEM else roles
    for index, role in enumerate(turns):
        if role not in {"user", "assistant"}:
            return _TWO_ROLES
        if (role == "user") != (index % 2 == 0):
            return _BY_TURNS
    return ""


def ends_with_two_answers(messages: Messages) -> bool:
    """Whether the last two messages are the assistant's, which llama-server itself refuses."""
    return [message.get("role") for message in messages[-2:]] == ["assistant", "assistant"]
