"""What follows a job may be made of several tasks: a group, a chain, a chord, and these in each
other. Each part has an id that is made from the job's, whoever delivers the end, and how often."""

import gc
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest
from celery import chain, chord, group
from celery.canvas import Signature
from kombu.message import Message

from memory import Command, End, Event, EventType, Mailbox, get_redis_memory, outbox
from memory.mailbox.outcomes import Ending
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app, chat_task
from tasks.end.callbacks import packed_callbacks
from tasks.end.delivery import Delivery
from tasks.job.celery_options import publish_options
from tests.support.inbox import WAIT_S, Inbox
from tests.support.waiting import wait_until

Make = Callable[[Inbox], Signature]
COMPOSITES: dict[str, tuple[Make, str]] = {
    "a task that others follow": (
        lambda to: to.task("a").set(link=[to.task("b")], link_error=[to.task("c")]), "abc"
    ),
    "a group": (lambda to: group(to.task("a"), to.task("b")), "ab"),
    "a chain": (lambda to: chain(to.task("a"), to.task("b"), to.task("c")), "abc"),
    "a chord": (lambda to: chord([to.task("a"), to.task("b")], to.task("c")), "abc"),
    "a group and what follows it": (
        lambda to: group(to.task("a"), to.task("b")) | to.task("c"), "abc"
    ),
    "a group in a group": (
        lambda to: group(group(to.task("a"), to.task("b")), to.task("c")), "abc"
    ),
    "a chain in a group": (lambda to: group(to.task("a") | to.task("b"), to.task("c")), "abc"),
    "a chord in a group": (
        lambda to: group(chord([to.task("a"), to.task("b")], to.task("c")), to.task("d")), "abcd"
    ),
    "a group that ends a chain": (
        lambda to: chain(to.task("a"), group(to.task("b"), to.task("c"))), "abc"
    ),
    "a group within a chain": (
        lambda to: chain(to.task("a"), group(to.task("b"), to.task("c")), to.task("d")), "abcd"
    ),
    "a chord within a chain": (
        lambda to: chain(to.task("a"), chord([to.task("b")] * 2, to.task("c")), to.task("d")),
        "abbcd",
    ),
    "a chain as the body of a chord": (
        lambda to: chord([to.task("a"), to.task("b")], to.task("c") | to.task("d")), "abcd"
    ),
    "a group as the body of a chord": (
        lambda to: chord([to.task("a"), to.task("b")], group(to.task("c"), to.task("d"))), "abcd"
    ),
    "a chord in the header of a chord": (
        lambda to: chord(
            [chord([to.task("a"), to.task("b")], to.task("c")), to.task("d")], to.task("e")
        ),
        "abcde",
    ),
}  # fmt: skip
ENDS: Mapping[str, tuple[EventType, dict[str, object]]] = {
    "link": (EventType.DONE, {}),
    "link_error": (EventType.FAILED, {"error": "no model"}),
}


@pytest.fixture
def inbox(valkey: ValkeyServer) -> Iterator[Inbox]:
    """A queue of the test's own."""
    with app.connection_for_read(valkey.url(1)) as broker:
        yield Inbox(broker)
    # Celery's results of composite tasks refer to each other; collected later, when the server is
    # gone, they could not unsubscribe.
    gc.collect()


@pytest.fixture
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for the tests that need one."""
    running = [process for process in stack.processes if process.is_running]
    return running[0] if running else stack.worker()


def end_of(kind: str, callback: Signature, job_id: str | None = None) -> End:
    """The end of a job that is followed by this."""
    job_id = job_id or str(uuid.uuid4())
    event_type, data = ENDS[kind]
    callbacks = packed_callbacks(job_id, publish_options({kind: callback}), webhook=None)
    return End(job_id, Event(event_type, job_id, 1, data=data), callbacks)  # type: ignore[arg-type]  # all values are JSON


def delivered(end: End) -> None:
    """Deliver an end, as each of several deliverers would."""
    Delivery(app).deliver(get_redis_memory().keyspace.session("energy", "s"), end)


def ids_in(messages: list[Message]) -> list[tuple[str, str]]:
    """The name and the id of each task: of those that were sent, and of those that they carry."""
    found = {(message.headers["task"], message.headers["id"]) for message in messages}
    for message in messages:
        _, _, carried = message.payload
        for signatures in carried.values():
            found |= set(_tasks_in(signatures))
    return sorted(found)


def _tasks_in(signatures: object) -> Iterator[tuple[str, str]]:
    """The tasks that a signature, or a list of them, is made of."""
    if isinstance(signatures, list):
        for one in signatures:
            yield from _tasks_in(one)
    if not isinstance(signatures, dict):
        return
    parts = {**signatures["kwargs"], **signatures["options"]}
    for name in ("tasks", "header", "body", "chord", "chain"):
        yield from _tasks_in(parts.get(name))
    if not signatures["subtask_type"]:
        yield signatures["task"], signatures["options"]["task_id"]


@pytest.mark.parametrize("name", COMPOSITES)
@pytest.mark.parametrize("kind", ENDS)
def test_each_part_has_the_same_id_whenever_it_is_sent(inbox: Inbox, kind: str, name: str) -> None:
    """Each of its own, and others for another job."""
    make, tasks = COMPOSITES[name]
    end, other = end_of(kind, make(inbox)), end_of(kind, make(inbox))
    delivered(end)
    first = inbox.messages()
    assert [task for task, _ in ids_in(first)] == list(tasks)
    assert len({task_id for _, task_id in ids_in(first)}) == len(tasks)
    delivered(end)
    again = inbox.messages()
    assert ids_in(again) == ids_in(first)
    assert len(again) == len(first)
    delivered(other)
    assert not set(ids_in(inbox.messages())) & set(ids_in(first))


def test_an_id_that_the_sender_has_given_is_kept(inbox: Inbox) -> None:
    """Who has frozen a signature waits for the result under that id."""
    whole = chain(inbox.task("a"), group(inbox.task("b"), inbox.task("c")), inbox.task("d"))
    last = whole.freeze()
    single = inbox.task("e").set(task_id=str(uuid.uuid4()))
    delivered(end_of("link", group(whole, single)))
    found = dict(ids_in(inbox.messages()))
    assert found["d"] == last.id
    assert found["e"] == single.options["task_id"]


def asked(session_id: str, number: int) -> Signature:
    """A chat job that follows another."""
    return chat_task.si(**arguments(f"{session_id}-{number}", f"part {number}"))


def arguments(session_id: str, message: str, **options: object) -> dict[str, object]:
    """The arguments of a job."""
    return {"agent_id": "energy", "session_id": session_id, "message": message, **options}


def said_in(session_id: str, number: int) -> list[object]:
    """What the history of such a job's session has of the user."""
    history = get_redis_memory().get_conversation_history("energy", f"{session_id}-{number}")
    return [past["content"] for past in history if past["role"] == "user"]


Parts = Callable[[Inbox, str], Signature]
OF_JOBS: dict[str, Parts] = {
    "a chord": lambda to, of: chord([asked(of, 0), asked(of, 1)], to.task("last")),
    "a group and what follows it": lambda to, of: (
        group(asked(of, 0), asked(of, 1)) | to.task("last")
    ),
    "a chord in a group": lambda to, of: group(
        chord([asked(of, 0), asked(of, 1)], to.task("last"))
    ),
    "a chain in a group": lambda to, of: group(asked(of, 0) | asked(of, 1) | to.task("last")),
    "a chain in the header of a chord": lambda to, of: chord(
        [asked(of, 0) | asked(of, 1)], to.task("last")
    ),
    "a chain": lambda to, of: chain(asked(of, 0), asked(of, 1), to.task("last")),
}


@pytest.mark.parametrize("name", OF_JOBS)
def test_what_follows_a_reply_runs_once(
    worker: ServerProcess, session_id: str, inbox: Inbox, name: str
) -> None:
    """The worker that has answered sends it, and another deliverer of the same end once more."""
    following = OF_JOBS[name](inbox, session_id)
    job = chat_task.apply_async(kwargs=arguments(session_id, "first"), link=following)
    assert job.get(timeout=WAIT_S)
    ((_, task, _),) = inbox.received(1)
    assert task == "last"
    delivered(end_of("link", following, job.id))
    assert inbox.received(0) == []
    for number in range(2):
        assert said_in(session_id, number) == [f"part {number}"]


@pytest.mark.parametrize("name", OF_JOBS)
def test_what_follows_a_cancel_runs_once(
    worker: ServerProcess, session_id: str, inbox: Inbox, name: str
) -> None:
    """Its deliverer dies before it has noted that; the end is still in the outbox."""
    memory = get_redis_memory()
    mailbox = Mailbox.of(memory.keyspace, "energy", session_id)
    busy = chat_task.apply_async(kwargs=arguments(session_id, "go", model="endless"))
    job = chat_task.apply_async(
        kwargs=arguments(session_id, "wait"), link_error=OF_JOBS[name](inbox, session_id)
    )
    calls = mailbox.discard(
        job.id, "cancelled", owner="dead", ending=Ending.CANCELLED, ttl_s=60, grace_ms=500
    )
    memory.connection.run_last(*calls)
    stored = memory.connection.run(Command(list, ("HGETALL", mailbox.keys.outbox)))
    ((_, task, _),) = inbox.received(1)
    assert task == "last"
    wait_until(lambda: _is_delivered(mailbox), what="it is delivered")

    memory.connection.run(Command(int, ("HSET", mailbox.keys.outbox, *stored)))
    memory.connection.run(outbox.note_late(memory.keyspace, mailbox.keys))
    wait_until(lambda: _is_delivered(mailbox), what="it is delivered again")
    assert inbox.received(0) == []
    for number in range(2):
        assert said_in(session_id, number) == [f"part {number}"]
    chat_task.cancel(busy.id)


def _is_delivered(mailbox: Mailbox) -> bool:
    return get_redis_memory().connection.run(outbox.size(mailbox.keys)) == 0
