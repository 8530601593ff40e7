"""The window of a model on both servers: what is refused, what is cut, where a reply ends."""

import json

import pytest

from tests.contract.ollama.conftest import BRIEF, Server, error

WORDS = "word " * 700
LONG = [{"role": "user", "content": WORDS}]
SMALL = {**BRIEF, "num_ctx": 512}


@pytest.mark.parametrize("shift", [True, False])
def test_a_long_prompt_that_may_not_be_cut_is_400_with_both_counts(
    server: Server, shift: bool
) -> None:
    """On both paths, whatever `shift` says."""
    for model in (server.rendered, server.strict):
        response = server.chat(model, messages=LONG, options=SMALL, truncate=False, shift=shift)
        inner = json.loads(error(response))["error"]
        assert (response.status_code, inner["type"]) == (400, "exceed_context_size_error")
        assert (inner["code"], inner["n_ctx"]) == (400, 512)
        counts = f"request ({inner['n_prompt_tokens']} tokens)"
        assert inner["message"].startswith(f"{counts} exceeds the available context size (512")


def test_the_rendered_path_cuts_to_half_of_the_window_what_it_may_cut(server: Server) -> None:
    """All but the first tokens of the front half is lost, and nobody is told."""
    for options, left in ((SMALL, 259), ({**SMALL, "num_keep": 24}, 269)):
        final = server.chat(server.rendered, messages=LONG, options=options).json()
        assert final["prompt_eval_count"] == left
    assert server.chat(server.strict, messages=LONG, options=SMALL).status_code == 400


def test_the_rendered_path_refuses_without_counts_if_the_window_may_not_shift(
    server: Server,
) -> None:
    """A text for people."""
    response = server.chat(server.rendered, messages=LONG, options=SMALL, shift=False)
    assert (response.status_code, error(response)) == (
        400,
        "the prompt is longer than the context length currently available to the model; shorten "
        "the prompt, adjust the context length in settings, or use a model with a longer context "
        "length",
    )


def test_old_messages_are_dropped_from_the_front_one_by_one(server: Server) -> None:
    """The rest may begin with an answer, which a strict template refuses."""
    turn = [{"role": "user", "content": "word " * 20}, {"role": "assistant", "content": "ok"}]
    messages = [*turn * 40, {"role": "user", "content": "end"}]
    final = server.chat(server.rendered, messages=messages, options=SMALL).json()
    assert 200 < final["prompt_eval_count"] <= 512
    uncut = server.chat(server.rendered, messages=messages, options=SMALL, truncate=False)
    assert uncut.status_code == 400


def test_without_shift_a_reply_ends_where_the_window_does(server: Server) -> None:
    """With the reason `length`; prompt and reply fill it to the last token."""
    options = {"num_ctx": 256, "num_predict": 300, "temperature": 1, "seed": 3}
    messages = [{"role": "user", "content": "word " * 200}]
    final = server.chat(server.strict, messages=messages, options=options, shift=False).json()
    assert final["done_reason"] == "length"
    assert final["prompt_eval_count"] + final["eval_count"] == 256


def test_ps_states_the_window_that_was_asked_for_within_what_was_trained(server: Server) -> None:
    """Less than 4 becomes 4."""
    for asked, stated in ((512, 512), (2, 4), (1_000_000, 32_768)):
        server.load(server.rendered, options={"num_ctx": asked})
        (loaded,) = (
            model
            for name, model in server.loaded().items()
            if name.removesuffix(":latest") == server.rendered
        )
        assert loaded["context_length"] == stated
