"""Long conversations in small windows, with real workers: what is shown, and what is told of it."""

import pytest

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from tasks import EventType, JobFailed, chat_task, follow_job
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAIT_S = scaled(20)
WORDS = "says this and that of power lines and tariffs, " * 4


@pytest.fixture(scope="module", autouse=True)
def workers(stack: GriotStack) -> None:
    """Two workers, so that turns of one session are taken by either."""
    for name in ("left", "right"):
        stack.worker("-c", "4", name=name)


def ask(session_id: str, message: str, model: str) -> dict[str, dict[str, object]]:
    """One turn of a session whose whole history may be shown."""
    sent = chat_task.delay("energy", session_id, message, model=model, max_history=1000)
    result: dict[str, dict[str, object]] = sent.get(timeout=WAIT_S)
    return result


def test_every_reply_has_a_receipt(session_id: str) -> None:
    """In the result, in the `done` event and beside the reply in the history."""
    chat_task.delay("energy", session_id, "one").get(timeout=WAIT_S)
    sent = chat_task.delay("energy", session_id, "two", max_history=0)
    result = sent.get(timeout=WAIT_S)
    receipt = result["receipt"]
    assert receipt["messages_sent"] == 2
    assert receipt["messages_left_out"] == 2
    assert receipt["prompt_tokens"] == result["usage"]["prompt_tokens"]
    assert receipt["estimated_prompt_tokens"] == pytest.approx(receipt["prompt_tokens"], rel=0.3)
    assert (receipt["done_reason"], receipt["truncated"]) == ("stop", False)
    timings = result["timings"]
    assert {"queue_wait_ms", "load_ms", "slot_wait_ms", "first_token_ms"} <= set(timings)
    assert {"prompt_eval_ms", "eval_ms", "model_ms", "tokens_per_s"} <= set(timings)
    done = [event for event in follow_job(sent.id) if event.type is EventType.DONE]
    assert done[0].data["receipt"] == receipt
    assert done[0].data["timings"] == timings
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert history[-1]["receipt"] == receipt


def test_a_long_conversation_never_overflows_and_is_cut_in_large_steps(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """Whichever worker takes a turn, it begins its prompt where the turn before began."""
    model = "window:ctx1500"
    ask(f"{session_id}-first", "hello", model)
    ollama.reset()
    receipts = [ask(session_id, f"turn {n} {WORDS}", model)["receipt"] for n in range(30)]
    calls = [call for call in ollama.calls if call.model == model]
    assert [call.status for call in calls] == [200] * 30
    on_start = [str(call.messages[1]["content"])[:7] for call in calls]
    assert 2 <= len(set(on_start)) <= 8
    assert [call.messages[0]["role"] for call in calls] == ["system"] * 30
    for number, (call, receipt) in enumerate(zip(calls, receipts, strict=True)):
        contents = [str(message["content"]) for message in call.messages[1::2]]
        first = number + 1 - len(contents)
        assert contents == [f"turn {n} {WORDS}" for n in range(first, number + 1)]
        assert receipt["messages_left_out"] == 2 * first
        assert int(str(receipt["prompt_tokens"])) <= 1500
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert len(history) == 60, "what is not shown is kept"


def test_a_prompt_that_proves_too_long_is_shortened_within_the_attempt(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """The model counts four tokens where one was estimated; followers hear one answer."""
    for number in range(6):
        ask(session_id, f"turn {number} {WORDS}", "ok")
    model = "window:ctx1600-dense4"
    sent = chat_task.delay("energy", session_id, "and now?", model=model, max_history=1000)
    result = sent.get(timeout=WAIT_S)
    assert [call.status for call in ollama.calls if call.model == model] == [400, 200]
    assert result["attempt"] == 1
    assert result["receipt"]["messages_left_out"] > 0
    assert result["receipt"]["window_tokens"] == 1600
    events = list(follow_job(sent.id))
    last_begin = max(n for n, event in enumerate(events) if event.type is EventType.STARTED)
    heard = "".join(e.text for e in events[last_begin:] if e.type is EventType.TOKEN)
    assert heard == result["response"]


def test_a_message_that_cannot_fit_fails_at_once_and_says_why(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """No call is made, nothing is remembered, and the next turn runs."""
    model = "window:ctx1500"
    ask(session_id, "hello", model)
    long = {"model": model, "max_history": 1000}

    def is_refused_unasked() -> bool:
        """Each worker knows the window only after it has looked."""
        calls_before = len(ollama.calls)
        with pytest.raises(JobFailed, match="window"):
            chat_task.delay("energy", session_id, "x" * 20_000, **long).get(timeout=WAIT_S)
        return len(ollama.calls) == calls_before

    wait_until(is_refused_unasked, timeout_s=30, what="it is refused before any call")
    assert ask(session_id, "still there?", model)["receipt"]["truncated"] is False
    assert len(get_redis_memory().get_conversation_history("energy", session_id)) == 4
