"""TLS to a RabbitMQ, from the same options in the address that redis-py and kombu know for Redis.

kombu 5.7.0 hands them to py-amqp under names that it does not know, and without them the host's
name is not checked.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tasks.errors import ConfigurationError

AMQPS = "amqps://"
_FILES = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}


def split_tls(url: str) -> tuple[str, Mapping[str, object] | None]:
    """The address without its TLS options, and Celery's `broker_use_ssl`; None without TLS.

    Certificate and host name are checked unless the address says `ssl_cert_reqs=none`. Raises
    ConfigurationError, one line, no secret in it.
    """
    if not url.startswith(AMQPS):
        return url, None
    if ";" in url:
        raise ConfigurationError(
            "CELERY_BROKER_URL: amqps:// takes one address, whose certificate is checked; "
            "give several RabbitMQs one name"
        )
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    tls: dict[str, object] = {}
    if options.pop("ssl_cert_reqs", "required").lower().removeprefix("cert_") == "none":
        tls["cert_reqs"] = ssl.CERT_NONE
    else:
        tls |= {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname}
    for option, name in _FILES.items():
        if (path := options.pop(option, None)) is not None:
            tls[name] = _existing(option, path)
    return urlunsplit(parts._replace(query=urlencode(options))), tls


def _existing(option: str, path: str) -> str:
    if not Path(path).is_file():
        raise ConfigurationError(f"CELERY_BROKER_URL: {option}={path} is no file")
    return path
