"""The versions that the workarounds of worker/broker/transport.py are made for."""

from importlib.metadata import version

import pytest


@pytest.mark.parametrize("package", ["celery", "kombu"])
def test_the_broker_libraries_are_those_that_were_examined(package: str) -> None:
    """A new version means: look at every comment in worker/broker/ that names the old one.

    And run tests/faults/servers/test_broker_outage.py with `register_transport` taken out of
    echo_app.py: what passes then needs no workaround any more.
    """
    assert version(package) == "5.7.0"


def test_the_client_of_rabbitmq_is_of_the_series_that_was_examined() -> None:
    """How it reads the properties of a message: worker/broker/amqp_messages.py."""
    assert version("amqp").startswith("5.4.")


def test_redis_py_is_of_the_series_that_was_examined() -> None:
    """Its retries, its time-outs and the repr of its errors changed between series."""
    assert version("redis").startswith("8.1.")
