"""The near end of the producer, which acts in a process of its own."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from bench import http_client, producer

P = ParamSpec("P")
R = TypeVar("R")


class Producer:
    """Has the producer's process act, one act at a time; what is raised there is raised here."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self.burst = self._there(producer.burst)
        self.fill = self._there(producer.fill)
        self.urge = self._there(producer.urge)
        self.turns = self._there(producer.turns)
        self.pairs = self._there(producer.pairs)
        self.follow = self._there(producer.follow)
        self.stop = self._there(producer.stop)
        self.post_all = self._there(http_client.post_all)
        self.listen_all = self._there(http_client.listen_all)

    def _there(self, act: Callable[P, R]) -> Callable[P, R]:
        def ask(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._pool.submit(act, *args, **kwargs).result()

        return ask


@contextmanager
def producing(
    brokers: Sequence[str], env: Mapping[str, str], directory: Path
) -> Iterator[Producer]:
    """A producer with this environment, which works and writes its log in `directory`."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _settle, (brokers, dict(env), directory)) as pool:
        yield Producer(pool)


def _settle(brokers: Sequence[str], env: Mapping[str, str], directory: Path) -> None:
    """Settings are read at the first act, so this comes early enough."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(directory)
    sys.stderr = (directory / "producer.log").open("a", buffering=1)
    producer.configure(brokers)
