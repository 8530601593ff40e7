"""The eager mode gives what a worker gives: one story, told to both, and all that is left of it."""

import json
from collections.abc import Callable, Mapping, Sequence

import pytest

from memory import EventType, get_redis_memory
from pytest_griot.model import ScriptedModel
from tasks import JobFailed, JobResult, chat_task, follow_job
from tests.conftest import FAST
from tests.support.machine import scaled

WAIT_S = scaled(30)
AGENT = "energy"
OWN = {"job_id", "session_id", "timings", "queue_wait_ms", "receipt"}
"""What differs from job to job, or is a time."""

PROFILES = """
[agents.energy]
system_prompt = "You know the grid."
tools = ["tests.support.tool_functions.capacity_of", "tests.support.tool_functions.refuse"]
"""


@pytest.fixture(scope="module")
def griot_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An agent with tools; an outage is given up soon."""
    path = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    path.write_text(PROFILES, "utf-8")
    return {**FAST, "AGENT_PROFILES": str(path), "CHAT_MAX_ATTEMPTS": "3"}


def a_reply(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """Words, of a job with options."""
    model.reply("In Accra.")
    return send("Where?", temperature=0.1, max_history=2, metadata={"user_id": 7})


def a_second_turn(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """The first one is shown."""
    model.reply("In Accra.", "In May.")
    send("Where?").get(WAIT_S)
    return send("When?")


def a_retry(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """A failure, and another attempt."""
    model.fail(500, "llama runner process has terminated")
    model.reply("Yes.")
    return send("Is it on?")


def a_cut(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """The connection breaks in mid-reply."""
    model.play("cut")
    model.reply("Whole.")
    return send("Tell me.")


def a_busy_server(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """The job waits, and no attempt counts."""
    model.play("busy-503")
    model.reply("Now.")
    return send("Is it on?")


def a_tool(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """Called, then called with a refusal, then the reply."""
    model.call_tool("capacity_of", place="Ghana")
    model.call_tools(("capacity_of", {"place": "Benin"}), ("refuse", {"reason": "no"}))
    model.reply("4975 MW.")
    return send("How much?")


def a_dead_letter(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """Too many attempts."""
    model.play("cut")
    model.play("cut")
    model.play("cut")
    return send("Tell me.")


def a_refusal(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """What is not tried again."""
    model.fail(400, "invalid options")
    return send("Tell me.")


def an_unknown_tool(model: ScriptedModel, send: Callable[..., JobResult]) -> JobResult:
    """No call at all."""
    return send("Tell me.", tools=["book_seat"])


STORIES = (
    *(a_reply, a_second_turn, a_retry, a_cut, a_busy_server),
    *(a_tool, a_dead_letter, a_refusal, an_unknown_tool),
)


def left_of(job: JobResult, session: str, model: ScriptedModel) -> object:
    """State, result or error, events, history, prompts: without what differs by nature."""
    try:
        result: object = {name: v for name, v in job.get(WAIT_S).items() if name not in OWN}
    except JobFailed as error:
        result = [type(error).__name__, str(error)]
    events = list(follow_job(job.id))
    # A follower that comes late is spared what a later attempt has replaced.
    last = [[one.type, one.text] for one in events if one.attempt == events[-1].attempt]
    # Nor does it matter what a busy server has refused: the call that had begun, or to load the
    # model before it, where none of the process was answered for five seconds.
    waits = [at for at, (kind, _) in enumerate(last) if kind == EventType.WAITING]
    last = _in_one_piece(last[waits[-1] :] if waits else last)
    history = [
        {name: value for name, value in message.items() if name in {"role", "content", "cancelled"}}
        for message in get_redis_memory().get_conversation_history(AGENT, session)
    ]
    prompts = [[one.model, one.system, one.tools, len(one.messages)] for one in model.prompts]
    return json.loads(json.dumps([job.state, result, events[-1].attempt, last, history, prompts]))


def _in_one_piece(events: Sequence[list[str]]) -> list[list[str]]:
    """Tokens that follow each other as one: a busy relay writes several as one event."""
    joined: list[list[str]] = []
    for kind, text in events:
        if joined and kind == joined[-1][0] == EventType.TOKEN:
            joined[-1][1] += text
        else:
            joined.append([kind, text])
    return joined


@pytest.mark.parametrize("story", STORIES)
def test_both_modes_leave_the_same(
    request: pytest.FixtureRequest, story: Callable[..., JobResult], scripted_model: ScriptedModel
) -> None:
    """To the caller, to followers, in the history, and at the model."""
    left = []
    for mode in ("griot_stack", "griot_eager"):
        request.getfixturevalue(mode)
        session = story.__name__
        scripted_model.clear()

        def send(message: str, session: str = session, **options: object) -> JobResult:
            return chat_task.delay(AGENT, session, message, **options)  # type: ignore[arg-type]

        job = story(scripted_model, send)
        left.append(left_of(job, session, scripted_model))
        assert scripted_model.unused == 0
    assert left[1] == left[0]
