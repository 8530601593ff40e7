"""The history of a conversation, on a real server and on fakeredis."""

import logging
import threading
from collections.abc import Callable, Mapping

import orjson
import pytest
from redis import Redis

from agents.stored_history import StoredHistory
from memory import (
    CorruptData,
    InvalidInput,
    MemorySettings,
    RedisMemoryService,
    encode_message,
)
from memory.records import history
from memory.redis.connection import Connection
from sandbox.proxy import Proxy
from sandbox.valkey import ValkeyServer
from tests.support.memory_fixtures import Backend
from tests.support.odd.histories import PNG

MESSAGES = [{"role": "user", "content": str(number)} for number in range(5)]
ODD_CONTENTS = ["", "\x00", "😀 e\u0301 é", "\n\r\t\u2028", '"}{', "x" * 100_000]


@pytest.mark.parametrize("content", ODD_CONTENTS, ids=range(len(ODD_CONTENTS)))
def test_any_text_comes_back_byte_for_byte(redis_memory: RedisMemoryService, content: str) -> None:
    """Empty, NUL, emoji, combining characters, line ends, quotes, long."""
    message = {"role": "tool", "content": content, "extra": {"n": 1.5, "big": 2**63, "none": None}}

    redis_memory.append_to_history("a", "s", message)

    assert redis_memory.get_conversation_history("a", "s") == [message]


def test_the_same_append_sent_twice_appends_once(backend: Backend) -> None:
    """After a lost reply the same call is sent again: it must not append twice."""
    keys = backend.service().keyspace.session("a", "s")
    command = history.append(
        keys,
        [encode_message(MESSAGES[0], 1000)],
        write_id=b"one",
        keep=10,
        ttl_s=60,
        is_exact=False,
    )

    assert [backend.connection.run(command) for _ in range(3)] == [1, 1, 1]
    assert backend.service().get_conversation_history("a", "s") == MESSAGES[:1]


def test_a_repeated_save_does_not_undo_a_later_append(backend: Backend) -> None:
    """The repeat of a save whose reply was lost must not swallow what came after it."""
    service = backend.service()
    keys = service.keyspace.session("a", "s")
    save = history.replace(keys, [encode_message(MESSAGES[0], 1000)], write_id=b"one", ttl_s=60)

    backend.connection.run(save)
    service.append_to_history("a", "s", MESSAGES[1])
    backend.connection.run(save)

    assert service.get_conversation_history("a", "s") == MESSAGES[:2]


def test_a_lost_reply_does_not_append_twice() -> None:
    """The write happens, its reply is lost with the connection, the client sends it again."""
    with ValkeyServer() as server, Proxy(server.port) as proxy:
        settings = MemorySettings(url=None, host="127.0.0.1", port=proxy.port)
        with RedisMemoryService(settings=settings) as service, Redis(port=server.port) as observer:
            assert service.health_check()
            proxy.latency_s = 0.1
            cut = threading.Thread(target=_cut_once_written, args=(observer, service, proxy))
            cut.start()
            service.append_to_history("a", "s", MESSAGES[0])
            cut.join()

            assert service.get_conversation_history("a", "s") == MESSAGES[:1]


def _cut_once_written(observer: Redis, service: RedisMemoryService, proxy: Proxy) -> None:
    """Cut the connection between the write and its reply, which is 0.1 s under way."""
    key = service.keyspace.session("a", "s").history
    for _ in range(100_000):
        if observer.exists(key):
            break
    assert proxy.drop_connections() == 1
    proxy.latency_s = 0


def test_appends_from_many_threads_are_all_kept(real_backend: Backend) -> None:
    """No append overwrites another."""
    service = real_backend.service()

    def append(name: int) -> None:
        for number in range(20):
            service.append_to_history("a", "s", {"role": "user", "content": f"{name}:{number}"})

    threads = [threading.Thread(target=append, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    contents = [str(m["content"]) for m in service.get_conversation_history("a", "s")]
    assert len(contents) == len(set(contents)) == 160
    for name in range(8):
        mine = [content for content in contents if content.startswith(f"{name}:")]
        assert mine == [f"{name}:{number}" for number in range(20)]


def test_a_corrupt_element_costs_only_itself(
    redis_memory: RedisMemoryService, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """It is skipped, counted and logged without its content."""
    redis_memory.save_conversation_history("a", "s", MESSAGES)
    key = redis_memory.keyspace.session("a", "s").history
    backend.observer.lset(key, 2, "{secret words")
    backend.observer.rpush(key, b"[1]", b'{"role": "robot"}')

    with caplog.at_level(logging.WARNING):
        read = redis_memory.read_history("a", "s")

    assert read.messages == [*MESSAGES[:2], *MESSAGES[3:]]
    assert read.corrupt == 3
    assert "3 elements" in caplog.text
    assert "secret" not in caplog.text


def test_a_key_of_another_type_is_left_as_it_is(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """CorruptData, and nothing is half-written."""
    key = redis_memory.keyspace.session("a", "s").history
    backend.observer.set(key, b"not a list", ex=60)

    for act in (
        lambda: redis_memory.append_to_history("a", "s", MESSAGES[0]),
        lambda: redis_memory.save_conversation_history("a", "s", MESSAGES),
        lambda: redis_memory.clear_conversation_history("a", "s"),
        lambda: redis_memory.get_conversation_history("a", "s"),
        lambda: redis_memory.extend_ttl("a", "s"),
    ):
        with pytest.raises(CorruptData):
            act()

    assert backend.observer.get(key) == b"not a list"


def test_without_max_history_the_setting_bounds_what_is_kept(backend: Backend) -> None:
    """HISTORY_MAX_MESSAGES, which a larger `max_history` does not lift."""
    settings = backend.settings.model_copy(update={"history_max_messages": 3})
    service = RedisMemoryService(settings=settings, connection=backend.connection)

    for number, message in enumerate(MESSAGES):
        service.append_to_history("a", "s", message, max_history=100 if number % 2 else None)

    assert service.get_conversation_history("a", "s") == MESSAGES[-3:]


def test_reads_are_bounded(backend: Backend) -> None:
    """A list that another program made longer is read from its end."""
    service = backend.service()
    key = service.keyspace.session("a", "s").history
    records = [encode_message({"role": "user", "content": str(n)}, 100) for n in range(1500)]
    backend.observer.rpush(key, *records)
    backend.observer.expire(key, 60)

    contents = [m["content"] for m in service.get_conversation_history("a", "s")]

    assert contents == [str(number) for number in range(500, 1500)]


def test_a_long_history_is_saved_whole(backend: Backend) -> None:
    """More messages than one Lua call may push at once."""
    settings = backend.settings.model_copy(update={"history_max_messages": 20_000})
    service = RedisMemoryService(settings=settings, connection=backend.connection)
    messages = [{"role": "user", "content": str(number)} for number in range(9_001)]

    service.save_conversation_history("a", "s", messages)

    assert service.get_conversation_history("a", "s") == messages


def test_an_append_renews_the_ttl_and_shortens_it_only_on_demand(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """The default does not cut a longer life short; an explicit `ttl` is what it says."""
    key = redis_memory.keyspace.session("a", "s").history
    redis_memory.append_to_history("a", "s", MESSAGES[0], ttl=200_000)
    redis_memory.append_to_history("a", "s", MESSAGES[1])
    assert backend.observer.ttl(key) > 190_000

    redis_memory.append_to_history("a", "s", MESSAGES[2], ttl=100)
    assert 90 < backend.observer.ttl(key) <= 100

    redis_memory.append_to_history("a", "s", MESSAGES[3])
    assert backend.observer.ttl(key) > 86_000


@pytest.mark.parametrize("write", ["save", "clear"])
def test_documented_writes_leave_waiting_jobs_alone(
    redis_memory: RedisMemoryService, backend: Backend, write: str
) -> None:
    """Queue, jobs, marks, dead letters and events stay; the lease tells of the new revision."""
    redis_memory.save_conversation_history("a", "s", MESSAGES)
    keys, look = redis_memory.keyspace.session("a", "s"), backend.observer
    look.zadd(keys.queue, {"job": 1})
    look.hset(keys.jobs, "job", "envelope")
    look.hset(keys.lease, mapping={"token": "t", "rev": 4})
    look.zadd(keys.done, {"old": 1})
    look.rpush(keys.dead, "letter")
    for companion in (keys.lease, keys.done, keys.dead):
        look.expire(companion, 1000)

    if write == "save":
        redis_memory.save_conversation_history("a", "s", MESSAGES[:1])
    else:
        redis_memory.clear_conversation_history("a", "s")

    left = redis_memory.get_conversation_history("a", "s")
    assert left == (MESSAGES[:1] if write == "save" else [])
    for companion in (keys.queue, keys.jobs, keys.done, keys.dead):
        assert look.exists(companion)
    lease = look.hgetall(keys.lease)
    assert (lease.pop(b"expires_at", None) is not None) == (write == "save")
    assert lease == {b"token": b"t", b"rev": b"5"}
    assert 900 < look.ttl(keys.lease) <= 1000
    assert redis_memory.get_all_sessions_for_agent("a") == ["s"]
    look.unlink(keys.jobs, keys.queue, keys.history)


def test_a_lease_without_a_ttl_gets_one(redis_memory: RedisMemoryService, backend: Backend) -> None:
    """Seven days, so that it does not stay for ever."""
    lease = redis_memory.keyspace.session("a", "s").lease
    backend.observer.hset(lease, "last", 1)

    redis_memory.save_conversation_history("a", "s", MESSAGES)

    assert 604_700 < backend.observer.ttl(lease) <= 604_800


def test_erasing_reaches_events_and_dead_letters(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """What a person wrote is in the history, the events and the dead letters; marks stay."""
    redis_memory.save_conversation_history("a", "s", MESSAGES)
    keys, look = redis_memory.keyspace.session("a", "s"), backend.observer
    look.xadd(keys.events, {"text": "words"})
    look.rpush(keys.dead, "words")
    look.zadd(keys.done, {"old": 1})
    look.expire(keys.done, 1000)

    assert redis_memory.clear_all_agent_data("a") == 3

    assert not look.exists(keys.history, keys.events, keys.dead)
    assert look.exists(keys.done)


def test_two_connections_see_the_same_history(real_backend: Backend) -> None:
    """State is shared by every process that uses the same Redis."""
    other = RedisMemoryService(
        settings=real_backend.settings, connection=Connection(real_backend.settings)
    )
    with other:
        real_backend.service().append_to_history("a", "s", MESSAGES[0])
        assert other.get_conversation_history("a", "s") == MESSAGES[:1]


FOREIGN = {
    "role": "Developer",
    "content": [{"type": "text", "text": "look"}, {"type": "text", "text": "here"}],
    "images": f"data:image/png;base64,{PNG}",
}
RIGHT = {"role": "system", "content": "look\nhere", "images": [PNG]}
Door = Callable[[RedisMemoryService, Mapping[str, object]], None]


def save(service: RedisMemoryService, message: Mapping[str, object]) -> None:
    """The whole history."""
    service.save_conversation_history("a", "s", [message])


def append(service: RedisMemoryService, message: Mapping[str, object]) -> None:
    """One message more."""
    service.append_to_history("a", "s", message)


def remember(service: RedisMemoryService, message: Mapping[str, object]) -> None:
    """As an agent without the queue does."""
    stored = StoredHistory(service, "a", "s", MemorySettings())
    stored.add(stored.turn([message]))


@pytest.mark.parametrize("door", [save, append, remember])
def test_each_door_puts_right_what_it_can_and_refuses_the_rest(
    redis_memory: RedisMemoryService, door: Door
) -> None:
    """Nothing comes in that a model's server would refuse."""
    door(redis_memory, FOREIGN)
    with pytest.raises(InvalidInput, match="has an image 0 that is a URL"):
        door(redis_memory, {"role": "user", "content": "x", "images": ["https://a/b.png"]})
    assert redis_memory.get_conversation_history("a", "s") == [RIGHT]


def test_what_another_program_has_written_is_read_in_ollamas_form(backend: Backend) -> None:
    """And lies there as it was."""
    service = backend.service()
    key = service.keyspace.session("a", "s").history
    backend.observer.rpush(key, orjson.dumps(FOREIGN))
    assert service.get_conversation_history("a", "s") == [RIGHT]
    assert backend.observer.lrange(key, 0, -1) == [orjson.dumps(FOREIGN)]
