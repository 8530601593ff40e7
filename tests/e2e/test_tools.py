"""Tools that models call, from `delay` to the history, with a real worker."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from memory import Event, get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import EventType, InvalidJob, JobFailed, app, chat_task, follow_job
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python
from worker.cli import main
from worker.cli.status import worker_states
from worker.refusal import BAD_SETTINGS

WAIT_S = scaled(20)
HERE = "tests.support.tool_functions"
PROFILES = f"""
[default]
system_prompt = "Be brief."
[agents.energy]
tools = ["{HERE}.capacity_of"]
[agents.many]
tools = ["{HERE}.crash", "{HERE}.refuse", "{HERE}.capacity_of"]
[agents.refusing]
tools = ["{HERE}.refuse"]
[agents.crashing]
tools = ["{HERE}.crash"]
[agents.counting]
tools = ["{HERE}.count_high"]
[agents.waiting]
tools = [{{function = "{HERE}.wait_long", timeout_s = 0.2}}]
[agents.reciting]
tools = ["{HERE}.recite"]
[agents.hanging]
tools = [{{function = "{HERE}.hang", timeout_s = 0.2}}]
[agents.killed]
tools = [{{function = "{HERE}.hang", timeout_s = 0.2, process = true}}]
[agents.tidy]
tools = ["{HERE}.attempts_left"]
[agents.apart]
tools = [{{function = "{HERE}.own_process", process = true}}]
[agents.holding]
tools = ["{HERE}.hold_loop"]
[agents.reading]
tools = ["{HERE}.read_until"]
[agents.reading-apart]
tools = [{{function = "{HERE}.read_until", process = true}}]
[agents.patient]
tools = ["{HERE}.wait_long"]
"""
RESULT = '{"place":"Ghana","capacity_mw":4975}'
SECRET = "hunter2"  # noqa: S105  # the canary


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker's file of profiles; the producer has another."""
    path = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    path.write_text(PROFILES, "utf-8")
    return path


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack, profiles: Path) -> Iterator[ServerProcess]:
    """One worker for all tests of this module."""
    return stack.worker(AGENT_PROFILES=str(profiles), AGENT_TOOL_ROUNDS="3", LOG_LEVEL="DEBUG")


@pytest.fixture(autouse=True)
def quiet(ollama: OllamaStandIn) -> None:
    """The calls that a test sees are its own."""
    ollama.reset()


def history(agent_id: str, session_id: str) -> list[dict[str, object]]:
    """What the documented service gives."""
    return [*get_redis_memory().get_conversation_history(agent_id, session_id)]


@pytest.mark.parametrize("model", ["tools", "tools-early"])
def test_a_tool_is_run_between_the_question_and_the_reply(
    session_id: str, ollama: OllamaStandIn, model: str
) -> None:
    """Each call and each result is in the history and among the events; there is one turn."""
    sent = chat_task.delay("energy", session_id, "Ghana", model=model)
    events = list(follow_job(sent.id))
    result = sent.get(WAIT_S)
    question, call, answer, reply = history("energy", session_id)
    assert [one["role"] for one in (question, call, answer, reply)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    (made,) = call["tool_calls"]  # type: ignore[misc]  # it is a list
    assert made["function"] == {"name": "capacity_of", "arguments": {"place": "Ghana"}}
    assert (answer["content"], answer["tool_name"]) == (RESULT, "capacity_of")
    assert answer["tool_call_id"] == made["id"]
    assert {one["job_id"] for one in (question, call, answer, reply)} == {sent.id}
    assert reply["content"] == result["response"] == events[-1].text
    begun, ended = (event.data for event in events if event.type is EventType.TOOL_CALL)
    assert (begun["name"], begun["arguments"]) == ("capacity_of", {"place": "Ghana"})
    assert (ended["result"], ended["is_error"]) == (RESULT, False)
    first, second = ollama.calls
    assert second.messages[1:] == (
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {
            "role": "tool",
            "content": RESULT,
            "tool_name": "capacity_of",
            "tool_call_id": made["id"],
        },
    )
    assert result["usage"]["completion_tokens"] == first.tokens + second.tokens


@pytest.mark.parametrize("agent_id", ["reading", "reading-apart"])
def test_a_follower_hears_how_far_a_tool_is(session_id: str, tmp_path: Path, agent_id: str) -> None:
    """While it runs, in a thread or in a process; the history has the call as ever."""
    book = tmp_path / "book"
    sent = chat_task.delay(agent_id, session_id, str(book), model="tools")
    heard = []
    for event in follow_job(sent.id):
        heard.append(event)
        if event.type is EventType.TOOL_PROGRESS:
            book.touch()
    kinds = [event.type for event in heard]
    progress = heard[kinds.index(EventType.TOOL_PROGRESS)]
    assert progress.data == {
        "call": 1, "name": "read_until", "fraction": 0.4, "text": "reading page 3 of book",
    }  # fmt: skip
    calls = [n for n, kind in enumerate(kinds) if kind is EventType.TOOL_CALL]
    assert calls[0] < kinds.index(EventType.TOOL_PROGRESS) < calls[1]
    assert [one["role"] for one in history(agent_id, session_id)] == [
        "user", "assistant", "tool", "assistant",
    ]  # fmt: skip


def test_later_turns_are_shown_the_whole_turn(session_id: str, ollama: OllamaStandIn) -> None:
    """Or nothing of it: a call without its result would confuse a model."""
    chat_task.delay("energy", session_id, "Ghana", model="tools").get(WAIT_S)
    for window, roles in (
        (2, ["user", "assistant", "tool", "assistant", "user"]),
        (1, ["user"]),
    ):
        chat_task.delay(
            "energy", session_id, "and?", max_history=window, tools=[], temperature=0.0
        ).get(WAIT_S)
        assert [one["role"] for one in ollama.calls[-1].messages] == roles
        get_redis_memory().save_conversation_history(
            "energy", session_id, history("energy", session_id)[:4]
        )


def test_the_history_can_be_given_to_the_services_as_it_is(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """Saved, read and appended to by the documented methods."""
    chat_task.delay("energy", session_id, "Ghana", model="tools").get(WAIT_S)
    memory, kept = get_redis_memory(), history("energy", session_id)
    memory.save_conversation_history("energy", "copy", kept)
    memory.append_to_history("energy", "copy", {"role": "user", "content": "more"})
    assert history("energy", "copy") == [*kept, {"role": "user", "content": "more"}]


def test_several_rounds_and_then_the_model_must_answer(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """AGENT_TOOL_ROUNDS, here 3: the fourth call of the model is offered no tools."""
    chat_task.delay("energy", session_id, "Ghana", model="tools:rounds9").get(WAIT_S)
    offered = [len(json.loads(call.body).get("tools", [])) for call in ollama.calls]
    assert offered == [1, 1, 1, 0]
    roles = [one["role"] for one in history("energy", session_id)]
    assert roles == ["user", *["assistant", "tool"] * 3, "assistant"]


FAILURES = {
    "refusing": "error: not today: hunter2",
    "crashing": "error: the tool failed (RuntimeError)",
    "counting": "error: wrong arguments: least: Input should be greater than or equal to 1000",
    "waiting": "error: no result within 0.2 s",
}


@pytest.mark.parametrize("agent_id", FAILURES)
def test_a_tool_that_fails_is_told_to_the_model_and_the_turn_goes_on(
    session_id: str, ollama: OllamaStandIn, worker: ServerProcess, agent_id: str
) -> None:
    """By a ToolError's text; of any other error by its kind, without its text."""
    sent = chat_task.delay(agent_id, session_id, SECRET, model="tools")
    sent.get(WAIT_S)
    _, _, answer, _ = history(agent_id, session_id)
    assert answer["content"] == FAILURES[agent_id]
    assert ollama.stats.requests == 2
    assert SECRET not in worker.log_text()


def test_results_that_do_not_fit_the_window_are_cut_until_they_do(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """And the history has what the model has seen."""
    model = "tools:ctx1024-rounds2"
    result = chat_task.delay("reciting", session_id, "Ghana", model=model).get(WAIT_S)
    seen = ollama.calls[-1].messages
    assert [one["role"] for one in seen] == ["user", *["assistant", "tool"] * 2]
    assert result["receipt"]["truncated"] is False
    kept = history("reciting", session_id)
    assert [one["content"] for one in kept[:-1]] == [one["content"] for one in seen]
    assert "[cut: " in str(kept[2]["content"])


def test_a_job_may_want_fewer_tools_and_none_that_its_agent_has_not(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """A name that is not in the profile is refused before any call; a format calls none."""
    chat_task.delay("many", session_id, "Ghana", model="tools", tools=["capacity_of"]).get(WAIT_S)
    chat_task.delay("many", session_id, "Ghana", model="tools", tools=[]).get(WAIT_S)
    # The native path, on which `tools` runs, does not keep to "json".
    chat_task.delay("many", session_id, "Ghana", model="tools-early", format="json").get(WAIT_S)
    offered = [
        [tool["function"]["name"] for tool in json.loads(call.body).get("tools", [])]
        for call in ollama.calls
    ]
    assert offered == [["capacity_of"], ["capacity_of"], [], []]
    ollama.reset()
    for wanted in ("book_seat", "os.system", f"{HERE}.book_seat"):
        with pytest.raises(JobFailed, match="agent many has no tool"):
            chat_task.delay("many", session_id, "x", tools=[wanted]).get(WAIT_S)
    assert ollama.stats.requests == 0
    with pytest.raises(InvalidJob, match="cannot be combined"):
        chat_task.delay("many", session_id, "x", tools=["capacity_of"], format="json")


@pytest.mark.parametrize(("model", "calls"), [("no-tools", 0), ("no-abilities", 1)])
def test_a_model_without_tools_is_refused_before_the_call(
    session_id: str, ollama: OllamaStandIn, model: str, calls: int
) -> None:
    """Or by a server that is too old to tell; in one attempt."""
    with pytest.raises(JobFailed, match=f"'{model}' does not support tools"):
        chat_task.delay("energy", session_id, "x", model=model).get(WAIT_S)
    assert ollama.stats.requests == calls


def is_tool_call(event: Event) -> bool:
    """Whether a call of a tool has begun."""
    return event.type is EventType.TOOL_CALL


def test_a_cancel_stops_the_tool_and_what_was_done_is_kept(session_id: str) -> None:
    """Within a second; the call has a result that says so."""
    sent = chat_task.delay("patient", session_id, "x", model="tools")
    assert any(is_tool_call(event) for event in follow_job(sent.id) if is_tool_call(event))
    chat_task.cancel(sent.id)
    wait_until(lambda: history("patient", session_id), timeout_s=3, what="the turn is recorded")
    question, call, answer = history("patient", session_id)
    assert answer["content"] == "error: cancelled before it ended"
    assert all(one["cancelled"] for one in (question, call, answer))


def test_a_worker_with_a_tool_that_is_none_does_not_start(
    stack: GriotStack, tmp_path: Path
) -> None:
    """One line says which, and why."""
    path = tmp_path / "profiles.toml"
    path.write_text('[agents.energy]\ntools = ["nowhere.at_all"]', "utf-8")
    started = run_python(
        "-m",
        "celery",
        "-A",
        "worker",
        "worker",
        env={**stack.env, "AGENT_PROFILES": str(path)},
        cwd=tmp_path,
        timeout_s=scaled(30),
    )
    assert started.returncode == BAD_SETTINGS
    assert "griot: tools of agent energy: nowhere.at_all cannot be a tool" in started.stderr


def test_tools_run_under_another_pool(
    stack: GriotStack, profiles: Path, session_id: str, ollama: OllamaStandIn
) -> None:
    """Imported before the fork, threads after it."""
    options = ("-P", "prefork", "-c", "1", "-Q", "forked")
    forked = stack.worker(*options, name="forked", AGENT_PROFILES=str(profiles))
    sent = chat_task.apply_async(
        args=["energy", session_id, "Ghana"], kwargs={"model": "tools"}, queue="forked"
    )
    sent.get(WAIT_S)
    assert history("energy", session_id)[2]["content"] == RESULT
    assert forked.stop() == 0


def tool_said(agent_id: str, session_id: str) -> str:
    """What the tool of an agent has answered in one turn."""
    chat_task.delay(agent_id, session_id, "Ghana", model="tools").get(WAIT_S)
    (answer,) = (one for one in history(agent_id, session_id) if one["role"] == "tool")
    return str(answer["content"])


def test_a_tool_that_hangs_is_counted_and_costs_no_other(
    session_id: str, worker: ServerProcess
) -> None:
    """`griot status` shows it, and the log says what to do; in a process it is killed instead."""
    assert tool_said("hanging", session_id) == "error: no result within 0.2 s"
    assert "1 of the 32 threads of this tool hang" in worker.log_text()
    assert tool_said("killed", session_id) == "error: no result within 0.2 s"
    (state,) = worker_states(app)
    assert state.health is not None
    assert state.health.hanging_tools == {"hang": 1}
    assert "1 of hang" in CliRunner().invoke(main, ["status"]).output
    assert tool_said("energy", session_id) == RESULT


def test_a_tool_may_run_in_a_process_of_its_own(session_id: str, worker: ServerProcess) -> None:
    """Which ends with its worker, as tests/unit/children shows."""
    told = json.loads(tool_said("apart", session_id))
    assert psutil.Process(told["pid"]).ppid() == worker.pid


def test_a_job_that_is_over_leaves_nothing_for_the_garbage_collector(session_id: str) -> None:
    """Its attempt goes at once: else all that the job has used lies about until that comes by."""
    before = 12
    for _ in range(before):
        chat_task.delay("energy", session_id, "hello", model="tools").get(timeout=WAIT_S)
    left = json.loads(tool_said("tidy", session_id))
    # Its own; those of the last jobs may be about to go, where the machine is busy.
    assert left["attempts"] <= before // 2


def test_what_holds_the_event_loop_is_named_in_the_log(
    session_id: str, worker: ServerProcess
) -> None:
    """The tool by its file and function, and nothing of what anybody said."""
    assert tool_said("holding", session_id) == "Ghana"
    wait_until(lambda: "the event loop was blocked for" in worker.log_text(), what="it is told")
    (line,) = (one for one in worker.log_text().splitlines() if "event loop was blocked" in one)
    assert "support/tool_functions.py" in line
    assert "hold_loop" in line
    assert "Ghana" not in line
    (state,) = worker_states(app)
    assert state.health is not None
    assert state.health.late_ms.max_ms > 500
