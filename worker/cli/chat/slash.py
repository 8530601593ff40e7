"""The commands of a conversation: what begins with a slash is for Griot and not for the agent."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

RESET = "reset"
_COMMAND = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command as it was typed; `argument` is "" where none was."""

    name: str
    argument: str


COMMANDS: Mapping[str, tuple[str, str]] = {
    "help": ("", "show these commands"),
    "cancel": ("[all]", "cancel the reply, as Ctrl-C does; all: also the messages that wait"),
    "agent": ("[ID]", "go on with another agent; without an id: list them"),
    "new": ("[SESSION]", "begin a new session"),
    "model": ("[NAME|reset]", "have the next messages answered by another model"),
    "system": ("[TEXT|reset]", "replace the agent's system prompt for the next messages"),
    "tools": ("[NAME…|none|reset]", "choose which of its tools the agent may use"),
    "image": ("[PATH|reset]", "send an image with the next message"),
    "export": ("FILE", "write the session: .md to read it, else lines for `griot import`"),
    "quit": ("", "leave, as Ctrl-D does"),
}
"""Each with its argument and what it does."""


def parsed(line: str) -> SlashCommand | str:
    """A command, or a message: `//` begins one that begins with a slash, `/etc/hosts` is one."""
    if line.startswith("//"):
        return line[1:]
    found = _COMMAND.fullmatch(line.rstrip())
    return SlashCommand(found[1], (found[2] or "").strip()) if found else line


def help_lines() -> list[str]:
    """What `/help` says."""
    shown = [(f"/{name} {argument}", about) for name, (argument, about) in COMMANDS.items()]
    width = max(len(usage) for usage, _ in shown)
    return [
        *(f"{usage:<{width}}  {about}" for usage, about in shown),
        "Enter sends, Alt-Enter begins a new line, a pasted block is one message.",
        "A message that begins with a slash: begin it with two.",
    ]


class SlashCompleter(Completer):
    """Completes commands, and what they take: `choices` has that of some of them, by name."""

    def __init__(self, choices: Mapping[str, Callable[[], Iterable[str]]]) -> None:
        self._choices = choices
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """What may follow what is before the cursor."""
        typed = document.text_before_cursor
        if not typed.startswith("/") or "\n" in typed:
            return
        name, space, argument = typed[1:].partition(" ")
        if not space:
            yield from _completions(name, COMMANDS, lambda one: COMMANDS[one][1])
        elif name in self._choices:
            # Of several names the one that is being typed.
            yield from _completions(argument.rpartition(" ")[2], self._choices[name]())
        elif name in ("image", "export"):
            yield from self._paths.get_completions(
                Document(argument, len(argument)), complete_event
            )


def _completions(
    typed: str, among: Iterable[str], about: Callable[[str], str] = lambda _: ""
) -> Sequence[Completion]:
    return [
        Completion(one, start_position=-len(typed), display_meta=about(one))
        for one in among
        if one.startswith(typed)
    ]
