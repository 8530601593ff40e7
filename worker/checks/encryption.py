"""Whether this process has the keys that the records of the others are encrypted with."""

import logging

from memory import Connection, MemoryServiceError, prove_keys
from tasks.errors import ConfigurationError
from tasks.process.configuration import Settings
from worker.checks.findings import Finding, Level

logger = logging.getLogger(__name__)

SAME_KEYS = "give all processes the same GRIOT_ENCRYPTION_KEYS"


def check_encryption(connection: Connection, settings: Settings) -> list[Finding]:
    """What is missing here; which key encrypts, where any is set."""
    keyspace = settings.memory.keyspace
    try:
        missing = prove_keys(connection, keyspace)
    except MemoryServiceError:
        return []  # the checks of Redis and of its keys say why
    if missing:
        return [Finding("encryption", Level.FAIL, str(one), SAME_KEYS) for one in missing]
    first = keyspace.keyring.first
    found = (
        "new records are not encrypted"
        if first is None
        else f"new records are encrypted with key {first}"
    )
    return [Finding("encryption", Level.OK, found)] if settings.memory.encryption_keys else []


def check_keys_at_start(connection: Connection, settings: Settings) -> None:
    """What a worker asks before it takes a job.

    Raises ConfigurationError where a key of a known id is another one here: what the worker wrote
    nobody else could read. Without a key it only leaves jobs to others, which is logged.
    """
    try:
        missing = prove_keys(connection, settings.memory.keyspace)
    except MemoryServiceError as exc:
        logger.warning("the worker starts without a proof of its encryption keys: %s", exc)
        return
    for one in missing:
        if one.is_known:
            raise ConfigurationError(f"{one}; {SAME_KEYS}")
        logger.warning("jobs with such records wait for another worker: %s; %s", one, SAME_KEYS)
