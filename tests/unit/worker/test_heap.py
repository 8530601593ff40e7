"""What the garbage collector of a worker is told."""

import gc
from collections.abc import Iterator
from importlib import import_module

import pytest
from celery import signals

import worker
from worker import heap


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector as it was, afterwards."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_what_a_worker_begins_with_is_not_collected_again_and_again() -> None:
    """A full collection of it takes longer than any callback may."""
    heap.settle(sender=None)
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == heap.YOUNG


@pytest.mark.parametrize("ready", [signals.worker_ready, signals.worker_process_init])
def test_each_process_that_runs_turns_settles_its_heap(ready: signals.Signal) -> None:
    """A worker, and those of Celery's prefork pool."""
    assert worker.app is not None
    assert heap.settle in [receiver for _, receiver in ready.receivers]


@pytest.mark.usefixtures("collector")
def test_a_gateway_settles_its_heap_when_it_serves() -> None:
    """Else one collection holds all streams that are open."""
    import_module("worker.cli.serve")._on_start()
    assert gc.get_freeze_count() > 10_000
