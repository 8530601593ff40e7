"""What a worker asks of Redis before it takes a job."""

import logging

from memory import Connection, MemoryRefused, MemoryServiceError, MemoryUnavailable
from memory.redis.server_info import server_info
from tasks.errors import ConfigurationError
from worker.checks.deployment import server_findings
from worker.checks.findings import Level

logger = logging.getLogger(__name__)


def worker_start_checks(connection: Connection) -> bool:
    """What a worker asks of Redis before it takes a job. Whether it answers.

    Raises ConfigurationError, one line, where it must not start: wrong credentials, missing rights,
    a server that evicts keys or is too old. What is merely unwise is logged, and so is a Redis
    that cannot be reached: a worker waits for it.
    """
    try:
        servers = server_info(connection)
    except MemoryUnavailable as exc:
        logger.warning("the worker starts without Redis and waits for it: %s", exc)
        return False
    except MemoryRefused as exc:
        raise ConfigurationError(str(exc)) from exc
    except MemoryServiceError as exc:
        logger.warning("the worker starts although Redis does not answer INFO: %s", exc)
        return False
    for server in servers:
        for finding in server_findings(server, connection.label):
            line = f"{finding.check}: {finding.found}; {finding.advice}"
            if finding.level is Level.FAIL:
                raise ConfigurationError(line)
            if finding.level is Level.WARN:
                logger.warning(line)
    return True
