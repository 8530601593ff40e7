"""What most people write: a Celery task, the `ollama` client and a Redis list.

No order, no protection against a second delivery, no live tokens. OLLAMA_HOST says where the model
is (the client reads it); the history lies in the broker's db.
"""

import json
from functools import lru_cache

import ollama
import redis
from celery import Celery

HISTORY_MESSAGES = 20
KEEP_MESSAGES = 1000
TTL_S = 86_400

app = Celery("plain", set_as_current=False)


@lru_cache(maxsize=1)
def history_client() -> redis.Redis:
    """One client for all threads."""
    return redis.Redis.from_url(app.conf.broker_url)


@lru_cache(maxsize=1)
def model_client() -> ollama.Client:
    """One client for all threads."""
    return ollama.Client()


def history_key(session_id: str) -> str:
    """Where a conversation lies."""
    return f"plain:{session_id}"


@app.task(name="bench.plain")  # type: ignore[untyped-decorator]  # Celery ships no types
def plain(session_id: str, message: str, model: str) -> str:
    """Answer one message with the model and remember both."""
    key = history_key(session_id)
    question = {"role": "user", "content": message}
    history = [json.loads(item) for item in history_client().lrange(key, -HISTORY_MESSAGES, -1)]
    parts = model_client().chat(model=model, messages=[*history, question], stream=True)
    response = "".join(part.message.content or "" for part in parts)
    answer = {"role": "assistant", "content": response}
    with history_client().pipeline() as pipe:
        pipe.rpush(key, json.dumps(question), json.dumps(answer))
        pipe.ltrim(key, -KEEP_MESSAGES, -1)
        pipe.expire(key, TTL_S)
        pipe.execute()
    return response
