"""The pool: how many tasks it runs at once, and what it waits for when it stops."""

from collections.abc import Iterator
from threading import Event, Lock

import pytest
from kombu.exceptions import ContentDisallowed
from kombu.serialization import dumps, prepare_accept_content

from memory import JobToWake, Keyspace, Priority
from tasks.process.wakeup import CHAT_TASK, PRIORITY_HEADER
from tasks.process.worker.services import worker_services
from tasks.settings import QueueSettings
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from worker import app
from worker.pool import LoopPool, PoolTask
from worker.settings import MOST_TURNS

LIMIT = 3
JSON = "application/json"


class Board:
    """Tasks that run until they are let go, and what Celery is told of them."""

    def __init__(self, pool: LoopPool) -> None:
        self.pool = pool
        self.go = Event()
        self.accepted: list[int] = []
        self.results: list[object] = []
        self.running = 0
        self.most = 0
        self._lock = Lock()

    def task(self, name: str, number: int) -> tuple[int, str, float]:
        """What Celery's tracer is for the pool."""
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(scaled(5))
        with self._lock:
            self.running -= 1
        return 0, f"{name} {number}", 0.0

    def apply(self, number: int) -> None:
        """Give the pool a task, as Celery's requests do."""
        self.pool.apply_async(
            self.task,
            args=("any.task", number),
            callback=self.results.append,
            accept_callback=lambda pid, at_s: self.accepted.append(number),
            correlation_id=str(number),
        )


@pytest.mark.parametrize(
    ("headers", "priority"),
    [
        ({}, Priority.NORMAL),
        ({PRIORITY_HEADER: "batch"}, Priority.BATCH),
        ({PRIORITY_HEADER: "interactive"}, Priority.INTERACTIVE),
        ({PRIORITY_HEADER: "none of ours"}, Priority.NORMAL),
        ({PRIORITY_HEADER: ["batch"]}, Priority.NORMAL),
        ({"delivery_info": {"priority": 9}}, Priority.BATCH),
        ({"delivery_info": {"priority": "9"}}, Priority.NORMAL),
        ({"delivery_info": None}, Priority.NORMAL),
        ({PRIORITY_HEADER: "interactive", "delivery_info": {"priority": 9}}, Priority.INTERACTIVE),
    ],
)
def test_a_task_waits_in_the_class_that_its_message_names(
    headers: dict[str, object], priority: Priority
) -> None:
    """A wake-up says so, of a raw job the number does; of any other task nothing counts."""
    body = dumps(((), {"agent_id": "energy", "session_id": "s-1"}, {}), "json")
    about = ("job-1", headers, body[2], body[0], body[1])
    tasks = [
        PoolTask(lambda: None, (name, *about), lambda _: None, lambda *_: None)
        for name in (CHAT_TASK, "another.task")
    ]
    assert [task.decoded().priority for task in tasks] == [priority, Priority.NORMAL]


@pytest.fixture
def board() -> Iterator[Board]:
    """A started pool."""
    pool = LoopPool(LIMIT, app=app)
    pool.start()
    board = Board(pool)
    yield board
    board.go.set()
    pool.stop()


def test_no_more_tasks_run_at_once_than_the_limit_says(board: Board) -> None:
    """The others are not accepted before one ends, and then begin in their order."""
    for number in range(10):
        board.apply(number)
    wait_until(lambda: board.running == LIMIT, what="as many run as may")
    assert board.accepted == [0, 1, 2]
    assert board.pool.info["running"] == LIMIT

    board.go.set()
    wait_until(lambda: len(board.results) == 10, what="all are over")
    assert board.most == LIMIT
    assert board.accepted == list(range(10))
    assert set(board.results) == {(0, f"any.task {number}", 0.0) for number in range(10)}


def test_a_task_that_raises_gives_its_place_free(board: Board) -> None:
    """Celery's tracer raises only what it cannot handle; the pool goes on."""

    def broken(*_: object) -> object:
        raise ZeroDivisionError

    for number in range(LIMIT * 2):
        board.pool.apply_async(
            broken,
            args=("any.task", number),
            callback=board.results.append,
            accept_callback=lambda pid, at_s: None,
        )
    board.go.set()
    board.apply(7)
    wait_until(lambda: board.results == [(0, "any.task 7", 0.0)], what="the good one is over")


def test_stopping_waits_for_what_runs_and_forgets_the_rest() -> None:
    """Another worker gets what had not begun."""
    pool = LoopPool(1, app=app)
    pool.start()
    board = Board(pool)
    board.apply(0)
    board.apply(1)
    wait_until(lambda: board.running == 1, what="the first runs")
    board.go.set()
    pool.stop()
    assert (0, "any.task 0", 0.0) in board.results
    assert board.running == 0


def test_a_pool_that_grows_begins_what_waits(board: Board) -> None:
    """At once, as many as it has grown by; Celery reads its size from it."""
    for number in range(10):
        board.apply(number)
    wait_until(lambda: board.running == LIMIT, what="as many run as may")
    board.pool.grow(4)
    wait_until(lambda: board.running == LIMIT + 4, what="four more run")
    assert board.pool.num_processes == LIMIT + 4


def test_a_pool_that_shrinks_lets_what_runs_end(board: Board) -> None:
    """And begins the next when fewer run than it has places."""
    for number in range(10):
        board.apply(number)
    wait_until(lambda: board.running == LIMIT, what="as many run as may")
    board.pool.shrink(2)
    board.go.set()
    wait_until(lambda: len(board.results) == 10, what="all are over")
    assert board.pool.info["max-concurrency"] == 1


def test_a_full_pool_takes_no_session_with_a_slot_on(board: Board) -> None:
    """Another worker may have a place free; where one is free here, it begins without a message."""
    head, keys = JobToWake("job-1", b"{}"), Keyspace().session("energy", "s-1")
    taken = list[object]()
    board.pool.hand_over = lambda *about: not taken.append(about)
    assert worker_services().take_on(keys, head)
    assert taken == [(keys, head)]
    for number in range(LIMIT):
        board.apply(number)
    wait_until(lambda: board.running == LIMIT, what="as many run as may")
    assert not worker_services().take_on(keys, head)
    assert len(taken) == 1


@pytest.mark.parametrize("change", [-LIMIT, -100, MOST_TURNS])
def test_a_pool_is_never_smaller_than_one_nor_too_large(board: Board, change: int) -> None:
    """Remote control answers with the reason, and nothing changes."""
    resize = board.pool.grow if change > 0 else board.pool.shrink
    with pytest.raises(ValueError, match="1 to 2000 turns at once"):
        resize(abs(change))
    assert board.pool.num_processes == LIMIT


def test_the_pool_tells_how_many_turns_it_may_run_at_once(board: Board) -> None:
    """So that there are connections to the model for all, whatever it was started with."""
    assert worker_services().concurrency == MOST_TURNS
    assert QueueSettings.model_fields["concurrency"].metadata[1].le == MOST_TURNS


def test_the_prefetch_count_is_left_alone() -> None:
    """With RabbitMQ, Celery changes it from the thread that ended a task, over the consumer's
    channel, which may then wait for ever. No test can make that happen at will."""
    assert app.conf.worker_enable_prefetch_count_reduction is False


@pytest.mark.parametrize("kind", ["pickle", "yaml"])
def test_the_body_of_a_chat_job_is_json(kind: str) -> None:
    """The pool decodes it itself, and asks nobody's settings."""
    content_type, encoding, body = dumps([[], {}, {}], serializer=kind)
    args = (CHAT_TASK, "job", {}, body, content_type, encoding)
    task = PoolTask(max, args, callback=list, accepted=pow)
    with pytest.raises(ContentDisallowed):
        task.decoded()


def test_celery_reads_and_writes_results_and_messages_as_json_alone() -> None:
    """What could run code is neither accepted nor the form in which a result is looked for."""
    backend = app.backend
    assert backend.accept == prepare_accept_content(app.conf.accept_content) == {JSON}
    assert (backend.content_type, app.conf.task_serializer) == (JSON, "json")
