"""The least that a web service with a queue does: one request, one round trip to Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from redis.asyncio import Redis

from memory import MemorySettings


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    app.state.redis = Redis.from_url(MemorySettings().url_of_db(7))
    yield
    await app.state.redis.aclose()


app = FastAPI(lifespan=_running, docs_url=None, redoc_url=None)


@app.post("/v1/responses")
async def push() -> dict[str, int]:
    """Put a thing into a list of Redis."""
    return {"jobs": await app.state.redis.rpush("bench:bare", b"job")}
