"""Records and whole replies: what is an answer, and what only looks like one."""

from dataclasses import replace

import orjson
import pytest

from llm import (
    ChatRequest,
    ContextOverflowError,
    Delta,
    Final,
    OllamaFailedError,
    RepetitionError,
    StreamCutError,
    ToolCall,
)
from llm.wire.records import delta_of, final_of, joined
from llm.wire.reply import ReplyReader

ASK = ChatRequest(model="m", messages=({"role": "user", "content": "hello"},))
LOAD = ChatRequest(model="m")
DONE = {
    "model": "m",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 9_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 2_000_000,
    "eval_count": 5,
    "eval_duration": 3_500_000,
}


def record(content: str, **more: object) -> dict[str, object]:
    return {"message": {"role": "assistant", "content": content, **more}, "done": False}


def read(*records: object, request: ChatRequest = ASK) -> list[Delta | Final]:
    reader = ReplyReader(request, "http://ollama:11434", 1 << 20)
    seen: list[Delta | Final] = []
    for line in records:
        seen.extend(reader.feed(orjson.dumps(line) + b"\n"))
    seen.extend(reader.finish())
    return [*seen, reader.final()]


def test_a_reply_is_its_deltas_and_then_its_final() -> None:
    """Nanoseconds become milliseconds; an empty delta is none."""
    assert read(record("Hel"), record(""), record("lo"), DONE) == [
        Delta(text="Hel"),
        Delta(text="lo"),
        Final(
            model="m",
            done_reason="stop",
            prompt_tokens=11,
            completion_tokens=5,
            total_ms=9.0,
            load_ms=1.0,
            prompt_eval_ms=2.0,
            eval_ms=3.5,
            server="ollama:11434",
        ),
    ]


def test_text_and_tool_calls_of_the_last_record_come_as_a_delta_before_the_final() -> None:
    """Ollama's native path puts all tool calls there."""
    call = {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}
    last = DONE | {"message": {"content": "end", "tool_calls": [call]}}
    delta, final = read(last)
    assert delta == Delta(text="end", tool_calls=(ToolCall("f", {"x": 1}, "call_1"),))
    assert isinstance(final, Final)


def test_what_follows_the_final_does_not_matter() -> None:
    """Neither more text nor an error changes an answer that is whole."""
    seen = read(record("a"), DONE, record("b"), {"error": "late"}, [1])
    assert [type(item) for item in seen] == [Delta, Final]


def test_a_stream_without_done_is_not_an_answer() -> None:
    """Ollama ends some failed streams tidily."""
    with pytest.raises(StreamCutError, match="is incomplete"):
        read(record("half an answer"))


def test_an_empty_body_is_not_an_answer() -> None:
    """Not one byte is a cut stream."""
    with pytest.raises(StreamCutError):
        read()


def test_the_zero_object_is_not_an_answer() -> None:
    """What Ollama answers when a model produced nothing at all."""
    with pytest.raises(StreamCutError):
        read({"model": "", "created_at": "0001-01-01T00:00:00Z", "message": {}, "done": False})


def test_an_error_line_ends_the_reply_after_the_deltas_before_it() -> None:
    """Both in one chunk: the delta is still seen, then the error."""
    reader = ReplyReader(ASK, "http://ollama:11434", 1 << 20)
    lines = (record("a"), {"error": "an error was encountered while running the model: EOF"})
    deltas = reader.feed(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert deltas == [Delta(text="a")]
    assert reader.is_done
    with pytest.raises(OllamaFailedError, match="while running the model"):
        reader.final()


def test_an_error_line_about_the_window_is_a_context_overflow() -> None:
    """Also where the status was 200 already."""
    with pytest.raises(ContextOverflowError):
        read({"error": "request (9 tokens) exceeds the available context size (8 tokens)"})


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_model_that_only_loaded_gave_no_answer(reason: str) -> None:
    """An empty text with done_reason "load" is no reply to messages."""
    with pytest.raises(OllamaFailedError, match="only loaded"):
        read(DONE | {"done_reason": reason})


def test_a_request_that_only_loads_is_answered_by_load() -> None:
    """And has neither text nor durations."""
    answer = {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "load"}
    assert read(answer, request=LOAD) == [
        Final(model="m", done_reason="load", server="ollama:11434")
    ]


@pytest.mark.parametrize("reason", ["length", "something-new", ""])
def test_an_unknown_done_reason_is_an_end_like_any_other(reason: str) -> None:
    """Ollama's cloud adds its own."""
    final = read(DONE | {"done_reason": reason})[-1]
    assert isinstance(final, Final)
    assert final.done_reason == reason


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"message": None},
        {"message": "text"},
        {"message": {"content": 7, "thinking": None, "tool_calls": {}}},
        {"message": {"content": None, "tool_calls": []}},
    ],
)
def test_fields_of_the_wrong_shape_are_read_as_absent(odd: dict[str, object]) -> None:
    """Versions differ: parsing is lenient."""
    assert not delta_of(odd)


def test_a_tool_call_of_an_odd_shape_is_still_a_tool_call() -> None:
    """The number of calls is kept."""
    odd = {"message": {"tool_calls": [None, {"function": {"name": "f", "arguments": "{}"}}]}}
    assert delta_of(odd).tool_calls == (ToolCall(""), ToolCall("f"))


def test_missing_counts_are_zero_and_missing_times_unknown() -> None:
    """Ollama leaves out what is zero."""
    final = final_of({"done": True, "eval_count": -3, "total_duration": True})
    assert final == Final()
    assert final is not None
    assert final.slot_wait_ms is None


def test_only_true_is_done() -> None:
    """Not a string, not a number."""
    assert final_of({"done": 1}) is None
    assert final_of({"done": "true"}) is None


def test_the_wait_for_a_slot_is_what_the_other_times_leave() -> None:
    """Total minus load minus prompt evaluation minus generation, never below zero."""
    final = final_of(DONE)
    assert final is not None
    assert final.slot_wait_ms == 2.5
    assert Final(total_ms=1, load_ms=2, prompt_eval_ms=0, eval_ms=0).slot_wait_ms == 0


def test_a_whole_reply_joins_text_thinking_and_calls() -> None:
    """In the order they came."""
    call = ToolCall("f")
    final = Final(model="m")
    reply = joined([Delta(thinking="hm"), Delta("a"), Delta("b", tool_calls=(call,)), final])
    assert (reply.text, reply.thinking, reply.tool_calls) == ("ab", "hm", (call,))
    assert reply.final is final


def test_what_was_said_is_in_no_repr() -> None:
    """Neither prompts nor replies get into a log by way of a repr."""
    call = ToolCall("f", {"x": "CANARY"})
    delta = Delta("CANARY", "CANARY", (call,))
    reply = joined([delta, Final()])
    request = ChatRequest(model="m", messages=({"role": "user", "content": "CANARY"},))
    assert "CANARY" not in repr((delta, reply, request))


@pytest.mark.parametrize("piece", [" a", "\n", "  "])
def test_a_silent_end_after_equal_pieces_is_the_models_doing(piece: str) -> None:
    """As Ollama ends it: 31 of them, no `done`, no error. White space is all the same to it."""
    with pytest.raises(RepetitionError, match="more than 30 times"):
        read(record("Well,"), *[record(piece)] * 31)
    with pytest.raises(RepetitionError):
        read(*[record("", thinking=piece)] * 31)


def test_a_silent_end_after_other_pieces_is_a_cut_reply() -> None:
    """Also where many equal ones came before: the row was over."""
    with pytest.raises(StreamCutError):
        read(*[record(" a")] * 31, record(" b"))
    with pytest.raises(StreamCutError):
        read(*[record(" a")] * 20)


def test_equal_pieces_that_end_properly_are_a_reply() -> None:
    """A model may be asked for a long row."""
    assert len(read(*[record("-")] * 100, DONE)) == 101


STRUCTURED = replace(ASK, format={"type": "object"})
THOUGHT = [record("", thinking="hm")] * 6


def test_thinking_that_ran_apart_is_counted_and_taken_for_no_wait() -> None:
    """With `format` Ollama may run the model twice, and its counts are those of the second run."""
    final = read(*THOUGHT, *[record("x")] * 5, DONE, request=STRUCTURED)[-1]
    assert isinstance(final, Final)
    assert final.completion_tokens == 5 + 6
    assert (final.slot_wait_ms, final.tokens_per_s) == (None, None)


def test_thinking_that_is_in_the_counts_is_not_counted_again() -> None:
    """As on the native path, and without `format`."""
    for done, request in (({**DONE, "eval_count": 11}, STRUCTURED), (DONE, ASK)):
        final = read(*THOUGHT, *[record("x")] * 5, done, request=request)[-1]
        assert isinstance(final, Final)
        assert final.completion_tokens == done["eval_count"]
        assert final.slot_wait_ms == 2.5


def test_of_too_many_calls_in_one_record_the_first_are_read() -> None:
    """Nobody runs more; thousands would only cost time."""
    calls = [{"function": {"name": str(number), "arguments": {}}} for number in range(200)]
    found = delta_of(record("", tool_calls=calls)).tool_calls
    assert [call.name for call in found] == [str(number) for number in range(128)]
