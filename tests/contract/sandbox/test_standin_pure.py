"""The stand-in's pure parts: Go's JSON, times and durations, scenario names, replies."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sandbox.ollama
from sandbox.ollama import fingerprint, gojson, gotime, pieces, prompt_tokens, reply_to
from sandbox.ollama.errors import BadDuration, UnknownScenario
from sandbox.ollama.scenarios import SCENARIOS, Ending, scenario_of

USER = {"role": "user", "content": "Hello"}
ASSISTANT = {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a&b>", '"\\u003ca\\u0026b\\u003e"'),
        ("\u2028\u2029", '"\\u2028\\u2029"'),
        ("\u0085é😀\x7f", '"\u0085é😀\x7f"'),
        ('"\\/\n\r\t\b\f\x01', '"\\"\\\\/\\n\\r\\t\\b\\f\\u0001"'),
        ("\ud800x", '"\ufffdx"'),
        ({"b": [1, None, True], "a": {}}, '{"b":[1,null,true],"a":{}}'),
    ],
)
def test_json_is_escaped_as_go_escapes_it(value: gojson.JsonValue, text: str) -> None:
    """Five characters escaped beyond what JSON needs, all else raw, key order kept."""
    assert gojson.encode(value) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_gos_json_reads_back_as_the_same_text(text: str) -> None:
    """Escaping loses nothing."""
    assert json.loads(gojson.encode(text)) == text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_790_000_000_123_456_789, "2026-09-21T14:13:20.123456789Z"),
        (1_790_000_000_120_000_000, "2026-09-21T14:13:20.12Z"),
    ],
)
def test_a_timestamp_drops_trailing_zeros(time_ns: int, text: str) -> None:
    """RFC 3339 with as many digits as needed."""
    assert gotime.timestamp(time_ns) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("300ms", 0.3), ("-1s", -1), ("0", 0), ("1.5h", 5400)],
)
def test_a_go_duration_is_read(text: str, seconds: float) -> None:
    """In seconds."""
    assert gotime.duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "300", "5x", "s", "1h 30m", "five", "-"])
def test_a_bad_duration_is_refused(text: str) -> None:
    """Never read as some number."""
    with pytest.raises(BadDuration):
        gotime.duration_s(text)


def test_a_models_tag_sets_tokens_pace_and_waits() -> None:
    """The grammar of the package docstring."""
    paced = scenario_of("slow-tokens:50x0.02s-2.0s-load200ms-slots3-ctx99")
    assert paced is not None
    assert (paced.tokens, paced.token_s, paced.first_s) == (50, 0.02, 2.0)
    assert (paced.load_s, paced.slots, paced.window_tokens) == (0.2, 3, 99)
    assert scenario_of("cut:7") == replace(SCENARIOS["cut"], tokens=7)
    assert scenario_of("delay:0.2s") == replace(SCENARIOS["delay"], first_s=0.2)
    assert scenario_of("stall:x20ms") == replace(SCENARIOS["stall"], token_s=0.02)
    for name in ("ok:latest", "OK", "library/ok", "registry.ollama.ai/library/ok:Latest"):
        assert scenario_of(name) == SCENARIOS["ok"]


@pytest.mark.parametrize("model", ["qwen2.5:0.5b", "okay", "nobody/ok", "llama3.2"])
def test_any_other_name_is_no_scenario(model: str) -> None:
    """So it is a healthy model's."""
    assert scenario_of(model) is None


@pytest.mark.parametrize("model", ["ok:x", "ok:5-", "cut:3tokens", "ok:slots0", "window:ctx"])
def test_an_unknown_setting_is_an_error(model: str) -> None:
    """A slip in a test does not pass for a healthy model."""
    with pytest.raises(UnknownScenario):
        scenario_of(model)


def test_every_scenario_has_a_name_that_the_worker_accepts() -> None:
    """The names fit the pattern of model names and the package docstring lists them all."""
    documented = sandbox.ollama.__doc__ or ""
    for name in SCENARIOS:
        assert re.fullmatch(r"[a-z0-9][a-z0-9._:/-]{0,127}", name)
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", documented), name
    assert {scenario.ending for scenario in SCENARIOS.values()} == set(Ending)


def test_a_reply_tells_the_last_message_the_turns_and_the_fingerprint() -> None:
    """What a demo shows and a test computes."""
    first = reply_to([USER])
    assert first == f"You said: “Hello”. This is our first turn. ({fingerprint([USER])})"
    third = [USER, ASSISTANT, USER, ASSISTANT, {"role": "user", "content": "More"}]
    assert "“More”. I remember 2 earlier turns." in reply_to(third)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text())))
def test_a_fingerprint_differs_when_any_message_is_left_out(said: list[tuple[str, str]]) -> None:
    """A reply gives away what the model saw."""
    messages = [{"role": role, "content": content} for role, content in said]
    for index in range(len(messages)):
        without = messages[:index] + messages[index + 1 :]
        assert fingerprint(without) != fingerprint(messages)


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_pieces_are_the_text_and_as_many_as_wanted(text: str, tokens: int) -> None:
    """Their concatenation is the text; with a number, exactly so many."""
    assert "".join(pieces(text)) == text
    assert len(pieces(text, tokens)) == tokens


def test_prompt_tokens_count_messages_and_characters() -> None:
    """4 per message and one per 4 characters, rounded up."""
    assert prompt_tokens([USER, ASSISTANT]) == 4 + 2 + 4 + 1
