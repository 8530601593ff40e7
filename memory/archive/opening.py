"""The archive that ARCHIVE_URL names, of either kind."""

from importlib import import_module

from pydantic import SecretStr

from memory.archive.file import SCHEME, ArchiveFile
from memory.archive.store import Archive
from memory.errors import ArchiveUnavailable

INSTALL = "pip install './griot[archive]'"


def archive_at(address: SecretStr) -> Archive:
    """The archive at `sqlite:///<path>` or `postgresql://…`; opened by its first use. Raises
    ArchiveUnavailable where a package is missing."""
    url = address.get_secret_value()
    if url.startswith(SCHEME):
        return ArchiveFile.at(url)
    try:
        # Not at the top: only who has such an archive has these packages.
        made: type[Archive] = import_module("memory.archive.database").ArchiveDatabase
    except ImportError as exc:
        raise ArchiveUnavailable(f"an archive in PostgreSQL needs packages: {INSTALL}") from exc
    return made(url)  # type: ignore[call-arg]
