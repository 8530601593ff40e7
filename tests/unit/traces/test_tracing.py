"""The place of a job in a trace: carried, checked, and nothing without an SDK."""

import orjson
import pytest
from opentelemetry import trace

from tasks.end.callbacks import packed_callbacks, place_of, webhooks_of
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.submit.traced import sending
from telemetry import tracing

PLACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
JOB = ChatJob(agent_id="energy", session_id="s-1", message="hello")
ODD = [
    None,
    7,
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    {"traceparent": "x" * 1_000_000},
    {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
    {"traceparent": PLACE["traceparent"] + "-more"},
    {"traceparent": ["00"]},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_place_that_is_none_counts_as_not_there(odd: object) -> None:
    """Whoever wrote it: the job is as good as any."""
    assert tracing.checked(odd) == {}
    packed = orjson.dumps({"job": orjson.loads(JOB.model_dump_json()), "trace": odd})
    assert Envelope.unpack(packed).trace is None


def test_a_state_that_is_too_long_is_left_out() -> None:
    """The W3C allows 512 characters; the place itself counts."""
    assert tracing.checked({**PLACE, "tracestate": "a=" + "b" * 600}) == PLACE
    assert tracing.checked({**PLACE, "tracestate": "a=b"}) == {**PLACE, "tracestate": "a=b"}


def test_a_place_goes_with_the_envelope_and_what_follows_the_job() -> None:
    """And changes nothing of what is asked."""
    envelope = Envelope(job=JOB, trace=PLACE)
    assert Envelope.unpack(envelope.pack()).trace == PLACE
    assert envelope.job.request == Envelope(job=JOB).job.request
    lines = packed_callbacks("j-1", {}, webhook="https://a.example/", trace=PLACE)
    assert list(webhooks_of(lines)) == [("j-1", "https://a.example/", PLACE)]
    assert place_of("j-1", lines) == PLACE
    assert place_of("j-2", lines) == {}
    assert packed_callbacks("j-1", {}, webhook=None, trace=PLACE) == b""


def test_without_an_sdk_nothing_is_made() -> None:
    """A job carries nothing, and no span is one."""
    assert not tracing.is_on()
    with sending("energy", "j-1") as place:
        assert place is None
    with tracing.span("a") as root, tracing.child("b") as inner:
        assert {root, inner, tracing.begun("c")} == {trace.INVALID_SPAN}
    assert tracing.trace_id() is None
    assert b"trace" not in Envelope(job=JOB).pack()


def test_what_was_said_is_in_no_span_of_an_error() -> None:
    """Its class is all that is told of it."""
    with tracing.at(PLACE), pytest.raises(ValueError, match="secret"), tracing.child("a"):
        raise ValueError("secret")


def test_spans_share_a_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make one took a fifth of what a span costs; another SDK has another."""
    asked: list[str] = []

    class Sdk(trace.TracerProvider):
        def get_tracer(self, name: str, *_: object, **__: object) -> trace.Tracer:
            asked.append(name)
            return trace.NoOpTracer()

    for provider in (Sdk(), Sdk()):
        monkeypatch.setattr(trace, "get_tracer_provider", lambda sdk=provider: sdk)
        for _ in range(3):
            tracing.begun("a", within={}).end()
    assert asked == ["griot", "griot"]
