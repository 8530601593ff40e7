"""Vectors on their way out: as many as there may be keep no loop that has others to see to."""

import asyncio
import json
import random
import time
from array import array

import pytest

from gateway.embeddings import EmbeddingsRequest, _shown
from tasks.job.embedding import EmbeddingAnswer, encoded
from tasks.process.embedding.embedder import MOST_VECTOR_BYTES
from tests.support.slowest_callback import slowest_callback

LENGTH = 4096
MOST_S = 0.05


@pytest.fixture
def answer() -> EmbeddingAnswer:
    """One vector again and again, until no more may be."""
    vector = encoded(array("f", [random.random() for _ in range(LENGTH)]))
    return EmbeddingAnswer(vectors=(vector,) * (MOST_VECTOR_BYTES // (4 * LENGTH)), tokens=7)


def test_they_are_packed_and_unpacked_in_a_moment(answer: EmbeddingAnswer) -> None:
    """Each is one step, the first on a worker's loop, the second on a gateway's."""
    began_s = time.thread_time()
    packed = answer.pack()
    packed_s = time.thread_time()
    assert EmbeddingAnswer.unpack(packed) == answer
    assert packed_s - began_s < MOST_S
    assert time.thread_time() - packed_s < 2 * MOST_S  # with the comparison


async def test_they_are_written_a_vector_at_a_time(answer: EmbeddingAnswer) -> None:
    """As numbers, which is the dearest form."""
    asked = EmbeddingsRequest(model="embedder", input="x")

    async def written() -> list[bytes]:
        return [piece[:60] async for piece in _shown(asked, answer)][:2]

    with slowest_callback() as slowest:
        begin, first = await asyncio.create_task(written())
    assert slowest.count > len(answer.vectors)
    assert slowest.cpu_s < MOST_S, slowest
    assert begin == b'{"object":"list","data":['
    assert first.startswith(b'{"object":"embedding","index":0,')


async def test_what_is_written_is_one_object() -> None:
    """With all that OpenAI's has, in both forms."""
    vectors = [array("f", [0.5, -1.0]), array("f", [2.0, 0.25])]
    answer = EmbeddingAnswer(vectors=tuple(map(encoded, vectors)), tokens=7)
    for form, shown in (("float", [one.tolist() for one in vectors]), ("base64", answer.vectors)):
        asked = EmbeddingsRequest(model="embedder", input=["x", "y"], encoding_format=form)
        found = json.loads(b"".join([piece async for piece in _shown(asked, answer)]))
        assert [one["embedding"] for one in found["data"]] == [*shown]
        assert [one["index"] for one in found["data"]] == [0, 1]
        assert found["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        assert (found["object"], found["model"]) == ("list", "embedder")
