"""What other programs write under our keys: set aside and counted, and never sent to a model."""

import base64
import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import Ask, Profile, prompt_for
from llm import LLMSettings, TokenBudget
from memory import CorruptData, Keyspace, LastAttempt, decode_messages, encode_message, events
from memory.errors import InvalidInput
from memory.mailbox.dead_letters import DeadLetter, Letters
from memory.records import history, summary
from memory.records.event import Event, EventType, packed
from memory.records.foreign import put_right
from memory.records.stats import StatsPoint, _points
from memory.records.values import load_mapping
from tasks.end.outcome import event_data, outcome_of
from tasks.submit.followers import JobFollower
from tasks.turn.context import precedent_of
from tests.support.strict_template import assert_strict
from tests.unit.memory.test_codec import JSON, LIMIT

SETTINGS = LLMSettings(model="m")
PROFILE = Profile("energy", None, None, None, None, max_history=100)
KEYS = Keyspace().session("energy", "s")
JOB = "job-1"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


GOOD_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
_OPENAI_CALL = {"function": {"name": "f", "arguments": '{"a": 1}'}}
_CALLS = st.sampled_from([GOOD_CALL, _OPENAI_CALL, {"function": 7}, {"Function": 7}]) | st.builds(
    lambda call, more: call | more,
    st.just(GOOD_CALL),
    st.dictionaries(st.sampled_from(["id", "function", "Function", "index"]), JSON, max_size=2),
)
_FIELDS: dict[str, st.SearchStrategy[object]] = {
    "content": st.text(max_size=5) | JSON,
    "thinking": st.text(max_size=5) | JSON,
    "tool_name": JSON,
    "tool_call_id": JSON,
    "images": st.lists(st.just(PNG) | st.just("http://a/b.png") | JSON, max_size=3) | JSON,
    "tool_calls": st.lists(_CALLS | JSON, max_size=3) | JSON,
    "job_id": st.just(JOB) | JSON,
    "history_messages": st.integers(-3, 9) | JSON,
    "receipt": st.dictionaries(st.sampled_from(["prompt_tokens", "truncated"]), JSON) | JSON,
    "usage": st.dictionaries(st.sampled_from(["prompt_tokens"]), JSON) | JSON,
    "model": st.just("m") | JSON,
    "attempt": JSON,
    "cancelled": st.booleans() | JSON,
    "format": st.just("json") | JSON,
    "done_reason": JSON,
    "Content": JSON,
    "Images": JSON,
}
_ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
RECORDS = JSON | st.fixed_dictionaries({"role": _ROLES | JSON}, optional=_FIELDS)


@given(st.lists(RECORDS, max_size=6))
def test_no_record_reaches_the_model_that_it_would_refuse(records: list[object]) -> None:
    """Whatever its fields hold: each is one that Ollama's decoder takes, or set aside."""
    stored = [orjson.dumps(record) for record in records]

    decoded = decode_messages(stored)
    past = decoded.messages
    prompt = prompt_for(
        Ask(message="new"), PROFILE, past, SETTINGS, precedent=precedent_of(past, "m")
    )
    sent = orjson.loads(prompt.request.body())["messages"]

    assert len(past) + decoded.corrupt == len(records)
    assert_strict(sent)


@given(st.lists(RECORDS, max_size=6))
def test_a_reply_of_any_shape_is_read_back_as_a_result(records: list[object]) -> None:
    """The search for a job's reply, its result and its last event have the types they promise."""
    stored = [orjson.dumps(record) for record in records]

    found = history.find_reply(stored, JOB)
    follower = JobFollower(Keyspace(), KEYS, JOB, "0-0")
    conclusion = follower.conclusion([None, False, None, Letters(()), found], is_committed=True)
    result = outcome_of(KEYS, conclusion).value

    assert isinstance(conclusion.text, str)
    if isinstance(result, dict):
        assert isinstance(result["response"], str)
        assert all(type(count) is int for count in result["usage"].values())
        done = Event(EventType.DONE, JOB, 1, result["response"], event_data(result))
        assert packed(done, KEYS.cipher)


@given(RECORDS)
def test_what_can_be_written_can_be_read(record: object) -> None:
    """A record that would be set aside is refused by its writer, before anything is sent."""
    try:
        stored = encode_message(record, LIMIT)  # type: ignore[arg-type]  # anything at all
    except InvalidInput:
        return
    assert isinstance(record, dict)
    assert decode_messages([stored]).messages == [put_right(record)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": 7},
        {"content": {"text": "hi"}},
        {"thinking": 9},
        {"tool_name": 1},
        {"tool_call_id": {}},
        {"images": [7]},
        {"images": {"a": 1}},
        {"tool_calls": [{"function": 7}]},
        {"tool_calls": [None]},
        {"tool_calls": 7},
        {"tool_calls": [{"function": {"name": 7}}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": 7}}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
        {"tool_calls": [{"id": True, "function": {"name": "f", "arguments": {}}}]},
    ],
    ids=str,
)
def test_a_field_of_a_wrong_type_sets_its_record_aside(
    wrong: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """Counted and named in the log; and the same message is refused where it is written."""
    message = {"role": "assistant", "content": "text"} | wrong
    good = b'{"role":"user","content":"x"}'

    with caplog.at_level(logging.WARNING):
        decoded = history.decode(KEYS, [orjson.dumps(message), good])

    assert decoded.messages == [{"role": "user", "content": "x"}]
    assert decoded.corrupt == 1
    assert f"{KEYS.history} contains 1 elements" in caplog.text
    with pytest.raises(InvalidInput):
        encode_message(message, LIMIT)


def test_a_record_that_is_nested_too_deeply_is_set_aside() -> None:
    """It can be read as JSON, but neither sent to a model nor written into an event."""
    depth = 252
    for name in ("receipt", "extra"):
        deep = b'{"role":"assistant","content":"x","%s":' % name.encode()
        stored = deep + b"[" * depth + b"]" * depth + b"}"
        assert decode_messages([stored]).corrupt == 1
        with pytest.raises(InvalidInput, match="nested too deeply"):
            encode_message(orjson.loads(stored), LIMIT)
    shallow = b'{"role":"user","content":"%s"}' % (b"[" * 1000)
    assert decode_messages([shallow]).corrupt == 0


DATA_URI = f"data:image/png;base64,{PNG}"
_PARTS = [
    {"type": "text", "text": "look"},
    {"type": "image_url", "image_url": {"url": DATA_URI}},
    {"type": "text", "text": "here"},
]
_CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
FOREIGN: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "a developer": (
        {"role": "developer", "content": "x"},
        {"role": "system", "content": "x"},
    ),
    "a function": (
        {"role": "function", "name": "f", "content": "x"},
        {"role": "tool", "name": "f", "tool_name": "f", "content": "x"},
    ),
    "capitals": ({"role": " User", "content": "x"}, {"role": "user", "content": "x"}),
    "parts": (
        {"role": "user", "content": _PARTS},
        {"role": "user", "content": "look\nhere", "images": [PNG]},
    ),
    "parts that are texts": (
        {"role": "user", "content": ["a", "b"]},
        {"role": "user", "content": "a\nb"},
    ),
    "a data URI": (
        {"role": "user", "content": "x", "images": [DATA_URI]},
        {"role": "user", "content": "x", "images": [PNG]},
    ),
    "one image": (
        {"role": "user", "content": "x", "images": PNG[:8] + "\n" + PNG[8:]},
        {"role": "user", "content": "x", "images": [PNG]},
    ),
    "arguments as text": (
        {"role": "assistant", "tool_calls": [_OPENAI_CALL]},
        {"role": "assistant", "tool_calls": [_CALL]},
    ),
    "no arguments as text": (
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
    ),
    "ids that are numbers": (
        {"role": "assistant", "tool_calls": [{"id": 7, **_CALL}]},
        {"role": "assistant", "tool_calls": [{"id": "7", **_CALL}]},
    ),
    "the id of a result": (
        {"role": "tool", "content": "x", "tool_call_id": 7},
        {"role": "tool", "content": "x", "tool_call_id": "7"},
    ),
    "an old call": (
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
        },
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_the_forms_of_other_servers_are_put_right_at_the_door_and_where_they_lie(case: str) -> None:
    """What is saved comes back in Ollama's form, and so does what another program has written."""
    foreign, right = FOREIGN[case]
    assert decode_messages([encode_message(foreign, LIMIT)]).messages == [right]
    assert decode_messages([orjson.dumps(foreign)]).messages == [right]
    assert orjson.loads(encode_message(foreign, LIMIT)) == right


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"images": ["http://a/b.png"]}, "has an image 0 that is a URL; it is not fetched"),
        ({"images": [PNG, "no base64!"]}, "has an image 1 that is not base64"),
        ({"images": [""]}, "has an image 0 that is empty"),
        ({"content": [{"type": "dance"}]}, "has a content of type list, not a string"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{a"}}]}, "not a list of calls"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}, "not a list of calls"),
    ],
    ids=str,
)
def test_what_cannot_be_put_right_is_refused_at_the_door(
    message: dict[str, object], why: str
) -> None:
    """By name, and without its words."""
    with pytest.raises(InvalidInput, match=why):
        encode_message({"role": "user", "content": "look", **message}, LIMIT)


def test_what_lies_there_and_cannot_be_put_right_is_left_out_of_the_prompt() -> None:
    """The rest of its message is shown; and a session that has it can be moved."""
    records = [
        {"role": "user", "content": "look", "images": ["http://a/b.png", PNG]},
        {"role": "assistant", "content": [{"type": "text", "text": "ah"}, {"type": "dance"}]},
    ]
    past = decode_messages([orjson.dumps(record) for record in records]).messages
    sent = prompt_for(Ask(message="new"), PROFILE, past, SETTINGS).request.messages
    assert sent[:2] == (
        {"role": "user", "content": "look", "images": [PNG]},
        {"role": "assistant", "content": "ah"},
    )
    assert encode_message(past[0], LIMIT, is_restored=True)


_EVENT_FIELDS: dict[str, st.SearchStrategy[object]] = {
    "type": st.sampled_from(["token", "done", "nonsense"]) | JSON,
    "job": st.just(JOB) | JSON,
    "attempt": st.integers(0, 3) | JSON,
    "text": st.text(max_size=5) | JSON,
    "data": st.dictionaries(st.text(max_size=3), JSON, max_size=2) | JSON,
}
_ENTRIES = st.lists(st.binary(max_size=5), max_size=3) | st.builds(
    lambda facts: [b"event", orjson.dumps(facts)], JSON | st.fixed_dictionaries(_EVENT_FIELDS)
)


@given(st.lists(_ENTRIES, min_size=1, max_size=5))
def test_an_entry_of_any_shape_is_an_event_or_skipped(entries: list[list[bytes]]) -> None:
    """Every reader goes on behind it, and all that it hands over has the promised types."""
    reply = [[f"{at}-1".encode(), fields] for at, fields in enumerate(entries)]

    read = events.read_now(events.stream_of(KEYS), "0-0").parse(reply)
    last = LastAttempt(JOB)
    last.take(read[::-1])
    follower = JobFollower(Keyspace(), KEYS, JOB, "0-0")
    follower.take(read)

    assert [event.cursor for event in read] == [f"{at}-1" for at in range(len(entries))]
    assert follower.cursor == read[-1].cursor
    assert isinstance(last.text, str)
    assert all(packed(event, KEYS.cipher) for event in read)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt": "1"},
        {"attempt": True},
        {"data": [1]},
        {"text": 7},
        {"job": None},
        {"type": "queued"},
        {"type": "merged", "data": {"into": 7}},
        {"type": "waiting", "data": {"wait_s": "soon"}},
    ],
    ids=str,
)
def test_an_event_of_wrong_types_is_read_as_nothing_that_happened(
    wrong: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """A keep-alive with its cursor, and a warning without its words."""
    facts = {"type": "token", "job": "secret", "attempt": 1, "text": "t"} | wrong
    reply = [[b"5-1", [b"event", orjson.dumps(facts)]]]

    with caplog.at_level(logging.WARNING):
        (event,) = events.read_now(events.stream_of(KEYS), "0-0").parse(reply)

    assert event == Event(EventType.KEEP_ALIVE, "", 0, cursor="5-1")
    assert "5-1" in caplog.text
    assert "secret" not in caplog.text


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**64 - 1),
            st.dictionaries(
                st.sampled_from([b"sessions", b"agents", b"else"]),
                st.binary(max_size=4) | st.integers().map(lambda n: str(n).encode()),
            ),
        ),
        max_size=4,
    )
)
def test_statistics_of_any_shape_are_points_or_left_out(
    entries: list[tuple[int, dict[bytes, bytes]]],
) -> None:
    """A date beyond all years, a number that is none."""
    reply: list[object] = [
        [f"{ms}-0".encode(), [part for pair in fields.items() for part in pair]]
        for ms, fields in entries
    ]
    reply.append([b"1000-0", [b"sessions", b"3"]])

    points = _points(reply)

    assert points[-1].sessions == 3
    assert all(isinstance(point, StatsPoint) for point in points)


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"inf", b"nan", b"1e999"]), max_size=7))
def test_a_dead_letter_of_any_shape_is_one_or_corrupt(parts: list[bytes]) -> None:
    """A number that is infinite is none of ours either."""
    stored = b"".join(b"%d:%b," % (len(part), part) for part in parts)
    try:
        DeadLetter.parse(KEYS, stored)
    except CorruptData:
        return
    assert len(parts) == 6


def test_an_infinite_number_in_a_dead_letter_is_corrupt() -> None:
    """Not an OverflowError in whoever lists them."""
    parts = (b"j", b"inf", b"1", b"1", b"reason", b"{}")
    with pytest.raises(CorruptData):
        DeadLetter.parse(KEYS, b"".join(b"%d:%b," % (len(part), part) for part in parts))


@given(st.binary(max_size=20) | JSON.map(orjson.dumps))
def test_a_state_of_any_shape_is_an_object_or_corrupt(stored: bytes) -> None:
    """As `get_agent_state` promises."""
    try:
        state = load_mapping(Keyspace(), "k").parse(stored)
    except CorruptData:
        return
    assert isinstance(state, dict)


def test_a_summary_that_lacks_a_part_is_read_as_far_as_it_goes() -> None:
    """Without a text there is none; without its end it ends with no message that is known."""
    read = summary.read(KEYS).parse
    assert read([None, b"u"]) is None
    assert read([b"text", None]) == summary.Summary("text", b"")


def test_the_budget_of_a_foreign_history_is_counted() -> None:
    """A precedent with an absurd count changes nothing."""
    past = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "model": "m", "history_messages": 2**64 - 1, "receipt": {}},
    ]
    prompt_for(
        Ask(message="n"),
        PROFILE,
        past,
        SETTINGS,
        TokenBudget.of(4096, None),
        precedent=precedent_of(past, "m"),
    )
