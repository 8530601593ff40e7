"""Embeddings with OpenAI's own client, and LangChain's."""

import asyncio
import math
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from langchain_openai import OpenAIEmbeddings

from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import ApiKey, Scope
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.waiting import wait_until

MODEL = "embedder"


def test_each_text_gets_its_vector_in_order(client: openai.OpenAI) -> None:
    """As base64, which the client asks for by default, and as floats: the same numbers."""
    texts = [f"text {number}" for number in range(130)]
    packed = client.embeddings.create(model=MODEL, input=texts)
    plain = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    assert [one.index for one in packed.data] == list(range(130))
    assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
    assert len({tuple(one.embedding) for one in plain.data}) == 130
    assert math.hypot(*plain.data[0].embedding) == pytest.approx(1, abs=1e-6)
    alone = client.embeddings.create(model=MODEL, input=texts[7])
    assert alone.data[0].embedding == packed.data[7].embedding
    assert alone.usage.total_tokens == alone.usage.prompt_tokens > 0
    assert alone.model == MODEL


async def test_many_may_ask_at_once(aclient: openai.AsyncOpenAI) -> None:
    """With the client for event loops; shorter vectors where they are asked for."""
    answers = await asyncio.gather(
        *(
            aclient.embeddings.create(model=MODEL, input=str(number), dimensions=4, user="ama")
            for number in range(10)
        )
    )
    assert {len(one.data[0].embedding) for one in answers} == {4}
    assert len({tuple(one.data[0].embedding) for one in answers}) == 10


def test_langchain_embeds_documents_and_queries(gateway: str) -> None:
    """Without its own tokens, which are OpenAI's."""
    with httpx.Client(trust_env=False) as http:
        embeddings = OpenAIEmbeddings(
            model=MODEL, base_url=f"{gateway}/v1", api_key="none",  # type: ignore[arg-type]  # a text
            check_embedding_ctx_length=False, http_client=http,
        )  # fmt: skip
        first, second = embeddings.embed_documents(["one", "two"])
        assert embeddings.embed_query("two") == second != first


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "missing"}, 404, "model_not_found"),
        ({"model": "agent:energy"}, 404, "model_not_found"),
        ({"model": "not a model"}, 404, "model_not_found"),
        ({"model": "ok"}, 400, "invalid_value"),
        ({"model": "embedder:ctx8", "input": "long " * 400}, 400, "context_length_exceeded"),
        ({"dimensions": 4096}, 400, "invalid_value"),
        ({"dimensions": 0}, 400, "invalid_value"),
        ({"input": [1, 2]}, 400, "invalid_value"),
        ({"input": [[1, 2]]}, 400, "invalid_value"),
        ({"input": ""}, 400, "invalid_value"),
        ({"input": []}, 400, "invalid_value"),
        ({"input": ["a", ""]}, 400, "invalid_value"),
        ({"input": ["x"] * 2049}, 400, "invalid_request"),
        ({"input": "x" * 1_048_577}, 400, "invalid_request"),
        ({"encoding_format": "hex"}, 400, "invalid_value"),
        ({"unknown": 1}, 400, "unknown_parameter"),
    ],
)
def test_what_cannot_be_is_refused_in_openais_form(
    http: httpx.Client, change: dict[str, object], status: int, code: str
) -> None:
    """And its message names no server and repeats no text."""
    answer = http.post("/v1/embeddings", json={"model": MODEL, "input": "x", **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert "127.0.0.1" not in error["message"]
    assert "long long" not in error["message"]


def test_a_model_server_that_is_busy_is_503(http: httpx.Client) -> None:
    """With the time after which to come again."""
    answer = http.post("/v1/embeddings", json={"model": "busy-503", "input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_lone_surrogate_is_refused(http: httpx.Client) -> None:
    """No model could be sent it."""
    body = b'{"model": "embedder", "input": "\\ud800"}'
    answer = http.post("/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


def test_a_client_that_hangs_up_stops_the_model(
    http: httpx.Client, ollama: OllamaStandIn, valkey: ValkeyServer
) -> None:
    """The model server's connection is closed, and no text stays."""
    before = ollama.stats.disconnects
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/embeddings", json={"model": "embedder:60s", "input": "x"}, timeout=1)
    wait_until(lambda: ollama.stats.disconnects > before, what="the model is told to stop")
    wait_until(lambda: valkey.command("KEYS", "*:embedding*") == [], what="nothing is left")


def test_quotas_of_a_key_hold(gateway: str) -> None:
    """Requests per minute, and tokens per day as the model counts them: 429 with Retry-After."""
    memory = get_redis_memory()
    asked = {"model": MODEL, "input": "x" * 400}
    with httpx.Client(base_url=gateway, trust_env=False, timeout=30) as http:
        for quota in ({"jobs_per_minute": 1}, {"tokens_per_day": 50}):
            name = f"key-{uuid.uuid4().hex}"
            made, token = ApiKey.new(
                name=name, owner=name, scopes=(Scope.WRITE,), agents=None, quota=quota
            )
            memory.connection.run(api_keys.save(memory.keyspace, made))
            headers = {"Authorization": f"Bearer {token}"}
            first, second = (
                http.post("/v1/embeddings", json=asked, headers=headers) for _ in range(2)
            )
            assert (first.status_code, second.status_code) == (200, 429), second.text
            assert second.json()["error"]["code"] == "rate_limit_exceeded"
            assert int(second.headers["Retry-After"]) > 0
            memory.connection.run(api_keys.revoke(memory.keyspace, made.key_id))
    memory.connection.run(api_keys.reopen(memory.keyspace))


def test_a_worker_is_killed_and_another_answers(http: httpx.Client, stack: GriotStack) -> None:
    """The client waits a little longer, and sees nothing of it."""
    worker = next(one for one in stack.processes if one.name == "worker")
    with ThreadPoolExecutor(1) as pool:
        asked = {"model": "embedder:2s", "input": "x"}
        waiting = pool.submit(http.post, "/v1/embeddings", json=asked)
        wait_until(lambda: "tasks.embed_texts" in worker.log_text(), what="it has begun")
        worker.kill()
        stack.start_again(worker)
        assert waiting.result(60).status_code == 200
