"""A chat job: which arguments are taken, how a refusal reads, and the envelope."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.job.job import MAX_METADATA_BYTES, MAX_SYSTEM_PROMPT_BYTES, ChatJob

SECRET = "what nobody may read in a log"  # noqa: S105  # text of a conversation
LIMIT_BYTES = 100


def job(**arguments: object) -> ChatJob:
    """A checked job of these arguments and the least of others."""
    least = {"agent_id": "energy", "session_id": "s", "message": SECRET}
    return ChatJob.checked({**least, **arguments}, max_message_bytes=LIMIT_BYTES)


def nested(depth: int) -> dict[str, object]:
    """An object in an object, so often."""
    inner: dict[str, object] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no message": ({"message": None}, "message: "),
    "an empty message": ({"message": ""}, "message: "),
    "no message behind a question": (
        {"message": "", "preceding": [{"role": "user", "content": "a"}]},
        "message: must have at least 1 character",
    ),
    "a merge of results": (
        {"message": "", "preceding": [{"role": "tool", "content": "a"}], "on_busy": "merge"},
        "cannot be merged",
    ),
    "a function without a name": ({"functions": [{"description": "a"}]}, "functions.0: name"),
    "two functions of one name": ({"functions": [{"name": "f"}] * 2}, "two have the same name"),
    "a function with more": ({"functions": [{"name": "f", "code": "a"}]}, "functions.0: code"),
    "a function of a list": (
        {"functions": [{"name": "f", "parameters": {"type": "array"}}]},
        "functions.0.parameters: must be the schema of an object",
    ),
    "a schema of a megabyte": (
        {"functions": [{"name": "f", "parameters": {"title": "a" * 10**6}}]},
        "functions have ",
    ),
    "a schema over its limit": (
        {"functions": [{"name": "f", "parameters": {"title": "a" * 33_000}}]},
        "functions.0.parameters: has ",
    ),
    "a recursive function": (
        {"functions": [{"name": "f", "parameters": {"properties": {"a": {"$ref": "#"}}}}]},
        "functions.0.parameters: is recursive",
    ),
    "bottomless functions": ({"functions": [nested(300)]}, "functions is nested deeper"),
    "functions and a format": (
        {"functions": [{"name": "f"}], "format": "json"},
        "format and functions cannot be combined",
    ),
    "a wild sample": ({"sampling": {"top_p": 2}}, "sampling: top_p: "),
    "an unknown sample": ({"sampling": {"num_ctx": 2}}, "sampling: num_ctx: "),
    "bytes": ({"message": SECRET.encode()}, "message: Input should be a valid string"),
    "a list": ({"message": [SECRET]}, "message: Input should be a valid string"),
    "a lone surrogate": ({"message": f"{SECRET}\ud800"}, "message: "),
    "no agent": ({"agent_id": None}, "agent_id: "),
    "a format of no kind": ({"format": "yaml"}, "format"),
    "a format that is no schema": (
        {"format": {"type": "nothing"}},
        ("format is not a usable JSON Schema"),
    ),
    "a level that is none": ({"think": "Very Hard"}, "think"),
    "a number to think": ({"think": 1}, "think"),
    "images that are no list": ({"images": SECRET}, "images: Input should be a valid list"),
    "tools that are no list": ({"tools": "capacity_of"}, "tools: Input should be a valid list"),
    "a long tool": ({"tools": ["a" * 129]}, "tools.0: String should have at most 128"),
    "too many tools": ({"tools": ["a"] * 129}, "tools: List should have at most 128"),
    "a format and a tool": ({"tools": ["a"], "format": "json"}, "cannot be combined"),
    "an empty agent": ({"agent_id": ""}, "agent_id must not be empty"),
    "a long agent": ({"agent_id": "a" * 513}, "agent_id has 513 bytes; the limit is 512"),
    "a surrogate for an agent": ({"agent_id": "\udfff"}, "agent_id is not valid Unicode"),
    "a number for a session": ({"session_id": 5}, "session_id: "),
    "an empty session": ({"session_id": ""}, "session_id must not be empty"),
    "a surrogate in the prompt": ({"system_prompt": "\ud800"}, "system_prompt is not valid"),
    "a number for a prompt": ({"system_prompt": 5}, "system_prompt: "),
    "a model that is an address": ({"model": "http://x"}, "is not a model"),
    "a number for a model": ({"model": 5}, "model: "),
    "a hot model": ({"temperature": 2.1}, "temperature: "),
    "a cold model": ({"temperature": -0.1}, "temperature: "),
    "no temperature": ({"temperature": float("nan")}, "temperature: "),
    "a bool for a temperature": ({"temperature": True}, "temperature: "),
    "text for a temperature": ({"temperature": "1"}, "temperature: "),
    "no tokens": ({"max_tokens": 0}, "max_tokens: "),
    "too many tokens": ({"max_tokens": 1_000_001}, "max_tokens: "),
    "half tokens": ({"max_tokens": 1.5}, "max_tokens: "),
    "a bool for tokens": ({"max_tokens": True}, "max_tokens: "),
    "a negative window": ({"max_history": -1}, "max_history: "),
    "too wide a window": ({"max_history": 100_001}, "max_history: "),
    "an empty key": ({"idempotency_key": ""}, "idempotency_key: "),
    "a long key": ({"idempotency_key": "k" * 257}, "idempotency_key: "),
    "a surrogate for a key": ({"idempotency_key": "\ud800"}, "idempotency_key: "),
    "an unknown way to wait": ({"on_busy": "later"}, "on_busy: "),
    "a list for metadata": ({"metadata": [1]}, "metadata: "),
    "a tuple in metadata": ({"metadata": {"a": (1, 2)}}, "metadata.a: "),
    "an object in metadata": ({"metadata": {"a": object()}}, "metadata.a: "),
    "a number as a name": ({"metadata": {1: 2}}, "metadata.1"),
    "NaN in metadata": ({"metadata": {"a": float("nan")}}, "metadata must be a JSON object"),
    "infinity in metadata": ({"metadata": {"a": [float("inf")]}}, "metadata must be a JSON object"),
    "a huge number in metadata": ({"metadata": {"a": 2**64}}, "metadata must be a JSON object"),
    "a surrogate in metadata": ({"metadata": {"a": "\ud800"}}, "metadata must be a JSON object"),
    "bottomless metadata": ({"metadata": nested(300)}, "metadata is nested deeper than 64 levels"),
    "endless tags": ({"tags": ["a"] * 200_000}, "tags has more than 100000 parts"),
    "bottomless images": ({"images": nested(5000)}, "images is nested deeper than 64 levels"),
    "a bottomless stranger": ({"x" * 10**6: nested(5000)}, "an unknown option is nested deeper"),
    "an unknown argument": ({"mesage": 1}, "mesage: Extra inputs"),
    "words for an argument": ({f"my {SECRET}": 1}, "characters: Extra inputs"),
    "an argument of a megabyte": ({"n" * 1_000_000: 1}, "text of 1000000 characters: Extra"),
    "a thousand arguments": ({f"n{n}": 1 for n in range(1000)}, "; and 992 more"),
    "words for a model": ({"model": f"my {SECRET}"}, "characters is not a model"),
    "a megabyte for a model": ({"model": "n" * 1_000_000}, "text of 1000000 characters is not"),
    "words in metadata": ({"metadata": {f"my {SECRET}": object()}}, "metadata.text of "),
}


@pytest.mark.parametrize(("arguments", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_argument_is_named_and_the_text_is_not(
    arguments: dict[str, object], reason: str
) -> None:
    """One short line; the error goes to logs, results and Flower."""
    with pytest.raises(InvalidJob) as caught:
        job(**arguments)
    message = str(caught.value)
    assert reason in message
    assert SECRET not in repr(caught.value)
    assert "\n" not in message
    assert len(message) < 400


def test_every_wrong_argument_is_named_at_once() -> None:
    """Not one after the other."""
    with pytest.raises(InvalidJob) as caught:
        job(temperature="hot", max_tokens=0, metadata=1, extra=2)
    for name in ("temperature", "max_tokens", "metadata", "extra"):
        assert f"{name}: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [
        ("message", LIMIT_BYTES, lambda n: "é" * (n // 2) + "x" * (n % 2)),
        ("system_prompt", MAX_SYSTEM_PROMPT_BYTES, lambda n: "x" * n),
        ("metadata", MAX_METADATA_BYTES, lambda n: {"a": "x" * (n - len('{"a":""}'))}),
        ("agent_id", 512, lambda n: "a" * n),
        ("session_id", 512, lambda n: "é" * (n // 2) + "x" * (n % 2)),
        ("idempotency_key", 256, lambda n: "k" * n),
        ("max_tokens", 1_000_000, lambda n: n),
        ("max_history", 100_000, lambda n: n),
        ("temperature", 2, lambda n: 2.0 if n == 2 else 2.0000001),
    ],
)
def test_a_limit_holds_to_the_unit(name: str, limit: int, value: object) -> None:
    """What has exactly the limit is taken, one more is refused; text is measured in bytes."""
    assert callable(value)
    assert getattr(job(**{name: value(limit)}), name) == value(limit)
    with pytest.raises(InvalidJob, match=name):
        job(**{name: value(limit + 1)})


def test_a_message_that_is_too_long_names_the_setting() -> None:
    """An operator may allow more."""
    with pytest.raises(InvalidJob, match=r"has 101 bytes; the limit is 100 \(CHAT_MAX_MESSAGE_BY"):
        job(message="x" * (LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    "text", ["\0", " ", "\n", "👩‍👩‍👧", "e\u0301", "\ufeff", "\U0010ffff", "a\x00b"]
)
def test_any_real_text_is_a_message(text: str) -> None:
    """Unchanged: nothing is stripped, normalised or replaced."""
    assert Envelope.unpack(Envelope(job=job(message=text)).pack()).job.message == text


def test_the_job_is_what_the_agent_is_asked() -> None:
    """Every option of the model arrives there."""
    given = {
        "system_prompt": "p",
        "model": "m:1",
        "temperature": 0.0,
        "max_tokens": 1,
        "max_history": 0,
    }
    ask = job(**given).ask
    assert {name: getattr(ask, name) for name in given} == given
    assert ask.message == SECRET


def test_a_job_has_the_id_that_its_sender_gave() -> None:
    """Any text that Redis can keep."""
    assert job().job_id("order 7/é") == "order 7/é"


@pytest.mark.parametrize("task_id", ["x" * 513, "\ud800", 5, b"x"])
def test_an_impossible_id_is_refused(task_id: str) -> None:
    """By the producer, before anything is sent."""
    with pytest.raises(InvalidJob, match="task_id"):
        job().job_id(task_id)


def test_without_an_id_each_job_has_a_new_one() -> None:
    """As Celery's."""
    assert job().job_id(None) != job().job_id(None)
    assert uuid.UUID(job().job_id(None))


def test_the_idempotency_key_gives_the_same_id_for_the_same_session_only() -> None:
    """Keys of other sessions and agents do not meet it, however their parts are cut."""
    first = job(idempotency_key="k").job_id(None)
    assert job(idempotency_key="k", message="other").job_id(None) == first
    others = [
        job(idempotency_key="l"),
        job(idempotency_key="k", session_id="t"),
        job(idempotency_key="k", agent_id="water"),
        job(idempotency_key='k","s', session_id=""" """),
    ]
    assert first not in {other.job_id(None) for other in others}


def test_the_id_of_an_idempotency_key_is_for_ever() -> None:
    """A sender that is restarted with a newer Griot must find its job again."""
    assert job(idempotency_key="k").job_id(None) == "04b89e9b-6d4e-5a07-a546-4d7fe1e25769"


def test_an_id_and_an_idempotency_key_contradict_each_other() -> None:
    """Which one counts would be a guess."""
    with pytest.raises(InvalidJob, match="either task_id or idempotency_key"):
        job(idempotency_key="k").job_id("id")


text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
jobs: st.SearchStrategy[dict[str, object]] = st.builds(
    dict,
    agent_id=st.from_regex(r"\A[a-z]{1,9}\Z"),
    session_id=text.filter(bool).map(lambda found: found[:100]),
    message=text.filter(bool),
    system_prompt=st.none() | text,
    model=st.none() | st.just("qwen2.5:0.5b"),
    temperature=st.none() | st.floats(0, 2),
    max_tokens=st.none() | st.integers(1, 1_000_000),
    max_history=st.none() | st.integers(0, 100_000),
    idempotency_key=st.none() | text.filter(bool),
    images=st.none() | st.lists(st.just("iVBORw0KGgo="), max_size=2),
    format=st.none() | st.just("json") | st.just({"type": "object", "default": None}),
    think=st.none() | st.booleans() | st.sampled_from(["low", "high", "xhigh"]),
    tools=st.none() | st.just([]),
    metadata=st.none() | st.dictionaries(text, json_values, max_size=3),
)


@given(arguments=jobs, publish=st.dictionaries(text, json_values, max_size=3))
def test_an_envelope_comes_back_as_it_was(
    arguments: dict[str, object], publish: dict[str, object]
) -> None:
    """Whatever the job says; None in metadata included."""
    checked = ChatJob.checked(arguments, max_message_bytes=1_000_000)
    envelope = Envelope.model_validate({"job": checked, "publish": publish})
    assert Envelope.unpack(envelope.pack()) == envelope


@pytest.mark.parametrize(
    "packed",
    [b"", b"x", b"[]", b"{}", b"null", b'{"job": {}}', b'{"job": {"agent_id": "a"}}', b"\xff"],
)
def test_what_is_no_envelope_is_refused(packed: bytes) -> None:
    """A worker makes it a dead letter."""
    with pytest.raises(InvalidJob, match="not a job's envelope"):
        Envelope.unpack(packed)


def test_a_damaged_envelope_does_not_spill_its_text() -> None:
    """The error is kept with the dead letter and shown in Flower."""
    packed = Envelope(job=job()).pack().replace(b'"session_id"', b'"sesion_id"')
    with pytest.raises(InvalidJob) as caught:
        Envelope.unpack(packed)
    assert SECRET not in repr(caught.value)


def stored(*jobs: ChatJob) -> bytes:
    """The last of these jobs as MERGE stores it, carrying the others under the ids j0, j1 …"""
    *others, own = [Envelope(job=one).pack() for one in jobs]
    parts = [own, *(part for n, other in enumerate(others) for part in (f"j{n}".encode(), other))]
    return b"".join(b"%d:%s," % (len(part), part) for part in parts)


def test_merged_jobs_are_one_with_all_their_messages() -> None:
    """In their order, a blank line between; whose they were, and their metadata, is kept."""
    first, second = job(message="one", metadata={"n": 1}), job(message="two\n")
    envelope = Envelope.unpack(stored(first, second, job(message="three", metadata={"n": 3})))
    assert envelope.job.message == "one\n\ntwo\n\n\nthree"
    assert envelope.job.metadata == {"n": 3}
    merged = [(one.job_id, one.metadata) for one in envelope.merged]
    assert merged == [("j0", {"n": 1}), ("j1", None)]


@pytest.mark.parametrize("cut", [1, 2, 40, -1])
def test_a_torn_series_of_envelopes_is_refused(cut: int) -> None:
    """A dead letter, with a reason and without a word of it."""
    whole = stored(job(message="one"), job(message="two"))
    with pytest.raises(InvalidJob) as caught:
        Envelope.unpack(whole[:cut])
    assert "one" not in str(caught.value)


def test_a_request_is_known_by_what_it_asks() -> None:
    """Metadata, the way to wait and the key change nothing of it; every other argument does."""
    plain = job().request
    assert job(metadata={"a": 1}, on_busy="merge", idempotency_key="k").request.digest == (
        plain.digest
    )
    others = ({"message": "other"}, {"model": "m"}, {"temperature": 0.1}, {"max_tokens": 5},
              {"max_history": 0}, {"system_prompt": "p"}, {"think": True}, {"format": "json"},
              {"images": ["aGk="]})  # fmt: skip
    digests = {job(**other).request.digest for other in others}
    assert len(digests | {plain.digest}) == len(others) + 1


def test_those_are_the_same_who_ask_for_the_same_as_the_same_user() -> None:
    """`user_id` in the metadata says whose a message is; without it all are of one."""
    anyone = job().request.asker
    me = job(metadata={"user_id": "me"}).request.asker
    assert job(message="other", metadata={"other": 1}).request.asker == anyone
    assert job(message="other", metadata={"user_id": "me", "n": 1}).request.asker == me
    assert len({anyone, me, job(metadata={"user_id": 1}).request.asker}) == 3
    assert job(metadata={"user_id": "me"}, model="other").request.asker != me


@pytest.mark.parametrize(
    ("metadata", "user"),
    [
        (None, None),
        ({}, None),
        ({"user_id": None}, None),
        ({"user_id": ""}, None),
        ({"user_id": "me"}, "me"),
        ({"user_id": 7}, "7"),
        ({"user_id": True}, "true"),
        ({"user_id": {"realm": "a", "id": 1}}, '{"realm":"a","id":1}'),
    ],
)
def test_a_user_is_a_text(metadata: dict[str, object] | None, user: str | None) -> None:
    """Whatever JSON a service has for it; nothing is nobody."""
    assert job(metadata=metadata).user == user


SAID_OF_TAGS = "tags: must be at most 8 texts of 1 to 64 letters, digits and _ . : / @ + = -"


def test_a_request_tells_its_size() -> None:
    """In bytes of UTF-8, in eight digits."""
    assert job(message="é").request.packed().endswith(":00000002")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "xml"}, 'format: must be "json" or a JSON Schema, as an object'),
        ({"think": 3}, 'think: must be True, False or a level such as "low" or "high"'),
        ({"tags": ["two words"]}, SAID_OF_TAGS),
        ({"tags": ["a"] * 9}, SAID_OF_TAGS),
        ({"tags": [""]}, SAID_OF_TAGS),
        ({"tags": ["é" * 65]}, SAID_OF_TAGS),
        ({"tags": ["a\n"]}, SAID_OF_TAGS),
    ],
)
def test_what_may_be_several_things_is_said_as_a_whole(
    arguments: dict[str, object], message: str
) -> None:
    """Not how each of them failed."""
    given = {"agent_id": "energy", "session_id": "s", "message": "hello", **arguments}
    with pytest.raises(InvalidJob) as caught:
        ChatJob.checked(given, max_message_bytes=100)
    assert str(caught.value) == message


def test_no_pattern_counts_the_letters_of_all_languages() -> None:
    """pydantic writes such a class out as often as it is counted: 24 ms of each process's start."""
    schema = str(ChatJob.model_json_schema())
    assert "\\w" in schema
    assert "]{1,64}" not in schema.replace("[A-Za-z0-9_-]{1,64}", "")
