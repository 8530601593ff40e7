"""Whether histories can go to the archive before they leave Redis."""

from memory import ArchiveUnavailable, Connection, MemoryServiceError
from memory.archive.opening import archive_at
from memory.archive.state import last_run
from memory.archive.store import Archive
from tasks.process.configuration import Settings
from worker.checks.findings import Finding, Level

ADVICE = "mend ARCHIVE_URL or its disk: until then every history stays in Redis"


def check_archive(connection: Connection, settings: Settings) -> list[Finding]:
    """Whether it can be written here, and what the archiver's last run came to. Nothing where there
    is no archive."""
    url = settings.memory.archive_url
    if url is None:
        return []
    file: Archive | None = None
    try:
        file = archive_at(url)
        file.check()
        run = last_run(connection, settings.memory.keyspace)
    except ArchiveUnavailable as exc:
        return [Finding("archive", Level.FAIL, str(exc), ADVICE)]
    except MemoryServiceError:
        return []  # the checks of Redis say why
    finally:
        if file is not None:
            file.close()
    if run is None:
        return [Finding("archive", Level.WARN, "no run yet", "start beat and a maintenance worker")]
    if run.error:
        return [Finding("archive", Level.FAIL, f"the last run: {run.error}", ADVICE)]
    return [Finding("archive", Level.OK, f"histories go to {file.name}")]
