"""Errors of the benchmark.

BenchError
├── ProducerDied   the producer's process ended or said something else than an answer
└── ProducerFailed what it was asked to do raised there
"""


class BenchError(Exception):
    """A measurement could not be made."""


class ProducerDied(BenchError):
    """The producer's process is gone; its log says why."""


class ProducerFailed(BenchError):
    """An act raised in the producer's process; the message is its error."""
