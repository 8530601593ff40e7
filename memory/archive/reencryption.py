"""The archive's part of `griot reencrypt`: its records as the keys say them now."""

from collections.abc import Callable, Iterator
from functools import partial

from memory.archive.store import Archive
from memory.errors import CannotRead
from memory.keys import Keyspace
from memory.upkeep.reencrypted_records import FIELDS, reencrypted_message
from memory.upkeep.rewriting import Rewriting


def reencrypt_archive(
    file: Archive, keyspace: Keyspace, progress: Rewriting
) -> Iterator[Rewriting]:
    """Go over all records of the archive, after those of Redis; how far it is, after each page.

    What is written meanwhile has the keys of who writes it, and may be read again. Raises
    ArchiveUnavailable.
    """
    for page in file.pages():
        swaps = []
        for stored in page:
            keys = keyspace.parse_history(stored.history)
            new = _new(progress, stored.record, partial(reencrypted_message, keys))
            if new != stored.record:
                swaps.append((stored, new))
        written = file.rewrite(swaps) if swaps else 0
        progress.written += written
        progress.busy += len(swaps) - written
        yield progress
    for old in file.summaries():
        _, history, text, until = old
        of_field = partial(FIELDS["summary"], keyspace.parse_history(history))
        new_text = _new(progress, text, partial(of_field, b"text"))
        new_until = _new(progress, until, partial(of_field, b"until"))
        if (new_text, new_until) != (text, until):
            written = file.rewrite_summary(old, (new_text, new_until))
            progress.written += written
            progress.busy += 1 - written
    yield progress


def _new(progress: Rewriting, stored: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    try:
        return rewrite(stored)
    except CannotRead as exc:
        progress.note(exc)
        return stored
