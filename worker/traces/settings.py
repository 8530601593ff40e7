"""What OpenTelemetry's own variables ask of a process, from the environment and `.env`.

They are the SDK's, which reads the environment only, and all but these few by itself.
"""

import os

from dotenv import dotenv_values

from memory.env_file import ENV_FILE

HTTP = "http/protobuf"

_BEGIN = "OTEL_"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def read_env_file() -> None:
    """Give the SDK what `.env` has for it; a variable of the environment counts before the file."""
    for name, value in dotenv_values(ENV_FILE).items():
        if name.startswith(_BEGIN) and value:
            os.environ.setdefault(name, value)


def wants_traces() -> bool:
    """Whether spans are to be sent: there is an address, and nothing switches them off."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    is_none = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return any(os.environ.get(name) for name in _ENDPOINTS) and not is_off and not is_none


def endpoints() -> list[str]:
    """The addresses that spans are sent to, as they are given."""
    return [url for name in _ENDPOINTS if (url := os.environ.get(name))]


def protocol() -> str:
    """The protocol that is asked for."""
    return next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), HTTP)


def is_named() -> bool:
    """Whether the operator has named the service."""
    in_resource = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return in_resource or bool(os.environ.get("OTEL_SERVICE_NAME"))
