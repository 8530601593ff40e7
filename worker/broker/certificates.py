"""What kombu takes for the default of `rediss://`.

Works around kombu 5.7.0, as named at its place.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its transports are not.

import logging
import ssl

import kombu.connection


def require_certificates() -> None:
    """Check the server's certificate on `rediss://` unless the URL says `ssl_cert_reqs=none`.

    Kombu 5.7.0 fills in CERT_NONE, and after that its default looks like the user's
    wish, so its default is what has to change. An explicit wish takes another way
    (kombu.utils.url) and stays. The warning that goes with the default would no longer be true.
    """
    vars(kombu.connection)["CERT_NONE"] = ssl.CERT_REQUIRED
    kombu.connection.logger.addFilter(_is_not_the_insecure_default)


def _is_not_the_insecure_default(record: logging.LogRecord) -> bool:
    return "defaulting to insecure SSL" not in str(record.msg)
