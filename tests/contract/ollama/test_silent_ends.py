"""A reply that says one thing over and over: both servers stop without a word."""

from tests.contract.ollama.conftest import Server
from tests.contract.ollama.test_records import lines

REPEATED = [{"role": "user", "content": "a " * 60}]
OPTIONS = {"num_predict": 60, "temperature": 0}


def test_the_rendered_path_ends_after_31_equal_pieces_without_done(server: Server) -> None:
    """A tidy end of the stream; in one object `done` is false and there are no counts."""
    model = "repeats" if server.rendered == "no-tools" else server.rendered
    records = lines(server.chat(model, messages=REPEATED, options=OPTIONS, stream=True))
    assert [record["done"] for record in records] == [False] * 31
    assert len({record["message"]["content"].strip() for record in records}) == 1
    whole = server.chat(model, messages=REPEATED, options=OPTIONS)
    assert (whole.status_code, whole.json()["done"]) == (200, False)
    assert list(whole.json()) == ["model", "created_at", "message", "done"]
