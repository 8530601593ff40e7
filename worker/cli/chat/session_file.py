"""A session as a file that `/export` writes."""

import os
from pathlib import Path

from memory.upkeep.transfer import exported
from memory.upkeep.transfer_file import as_lines
from tasks.process.services import producer_services
from worker.cli.chat.conversation import Conversation
from worker.cli.chat.replay import YOU, said_before

FOR_READERS = (".md", ".markdown", ".txt")


def export_to(path: str, talk: Conversation) -> Path:
    """Write the session to a new file: for readers by its name, else as `griot export session`.

    Raises OSError, one line, also where the file is there already; and MemoryServiceError.
    """
    file = Path(path.strip("'\"")).expanduser()
    content = _markdown(talk) if file.suffix in FOR_READERS else _lines(talk)
    try:
        # What people say is for nobody else on this machine.
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as new:
            new.write(content)
    except OSError as exc:
        raise OSError(f"{file} cannot be written: {exc.strerror}") from exc
    return file


def _lines(talk: Conversation) -> bytes:
    services = producer_services()
    found = exported(services.memory, services.keyspace, talk.agent, talk.session)
    return b"".join(as_lines(found))


def _markdown(talk: Conversation) -> bytes:
    history = talk.memory.get_conversation_history(talk.agent, talk.session)
    parts = [f"# {talk.agent}, session {talk.session}"]
    for one in said_before(history, talk.agent):
        who = "You" if one.who == YOU else one.who
        parts.append("\n".join(filter(None, (f"**{who}:** {one.text}", one.remark))))
    return ("\n\n".join(parts) + "\n").encode()
