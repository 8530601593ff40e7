"""What someone who tunes by hand writes: taskiq, aiohttp, redis.asyncio with hiredis, and orjson.

The same job as in bench/peers/plain.py with the same promises: no order, no protection against a
second delivery, no live tokens. Stored messages go into the request as they lie in Redis. taskiq is
of the group `bench-peers`, which has a folder of its own (`make bench-peers`).
"""

import aiohttp
import orjson
from pydantic_settings import BaseSettings
from redis.asyncio import Redis
from taskiq import TaskiqEvents, TaskiqState
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.conversation import HISTORY_MESSAGES

KEEP_MESSAGES = 1000
TTL_S = 86_400


class LeanSettings(BaseSettings):
    """Where queue, results and histories lie, and where the model is."""

    lean_url: str = "redis://127.0.0.1:6379/8"
    ollama_host: str = "http://127.0.0.1:11434"


settings = LeanSettings()
_serializer = ORJSONSerializer()
broker = (
    RedisStreamBroker(settings.lean_url)
    .with_result_backend(
        RedisAsyncResultBackend(settings.lean_url, result_ex_time=TTL_S, serializer=_serializer)
    )
    .with_serializer(_serializer)
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)  # type: ignore[untyped-decorator]  # mypy does not see taskiq
async def begin(state: TaskiqState) -> None:
    """One client of each kind for all jobs of the process."""
    state.history = Redis.from_url(settings.lean_url)
    state.model = aiohttp.ClientSession(
        settings.ollama_host, connector=aiohttp.TCPConnector(limit=0)
    )


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)  # type: ignore[untyped-decorator]  # the same
async def end(state: TaskiqState) -> None:
    """Close both."""
    await state.model.close()
    await state.history.aclose()


@broker.task(task_name="bench.lean")  # type: ignore[untyped-decorator]  # the same
async def lean(session_id: str, message: str, model: str) -> str:
    """Answer one message with the model and remember both."""
    redis, key = broker.state.history, f"lean:{session_id}"
    question = orjson.dumps({"role": "user", "content": message})
    stored = await redis.lrange(key, -HISTORY_MESSAGES, -1)
    body = b'{"model":%s,"stream":true,"messages":[%s]}' % (
        orjson.dumps(model),
        b",".join((*stored, question)),
    )
    async with broker.state.model.post("/api/chat", data=body) as reply:
        reply.raise_for_status()
        pieces = [orjson.loads(line)["message"]["content"] async for line in reply.content]
    response = "".join(pieces)
    async with redis.pipeline() as pipe:
        pipe.rpush(key, question, orjson.dumps({"role": "assistant", "content": response}))
        pipe.ltrim(key, -KEEP_MESSAGES, -1)
        pipe.expire(key, TTL_S)
        await pipe.execute()
    return response
