"""An agent in the memory of its process, with a model that answers from a table."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from agents import AgentSettings, BaseAgent, Profiles
from llm import ContextOverflowError, LLMService, LLMSettings, OllamaBusyError


class Model:
    """Answers `reply 1`, `reply 2` … and notes what it was asked; 503 while `is_busy`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.is_busy = False
        self.window_tokens = 4096
        self.refuses_over = 0
        """A longer request, in bytes, is refused; 0: none."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/ps":
            loaded = {"name": LLMSettings().model, "context_length": self.window_tokens}
            return httpx.Response(200, content=iter([orjson.dumps({"models": [loaded]})]))
        if request.url.path == "/api/show":
            return httpx.Response(200, content=iter([b"{}"]))
        if self.is_busy:
            return httpx.Response(503, content=iter([b'{"error": "server busy"}']))
        if self.refuses_over and len(request.content) > self.refuses_over:
            text = b'{"error":"the prompt is longer than the context length"}'
            return httpx.Response(400, content=iter([text]))
        self.asked.append(orjson.loads(request.content))
        message = {"role": "assistant", "content": f"reply {len(self.asked)}"}
        record = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
        return httpx.Response(200, content=iter([orjson.dumps(record) + b"\n"]))

    @property
    def shown(self) -> list[str]:
        """The contents of the last request, the system prompt left out."""
        messages = self.asked[-1]["messages"]
        assert isinstance(messages, list)
        return [message["content"] for message in messages if message["role"] != "system"]


@pytest.fixture
def model() -> Model:
    """A model of the test's own."""
    return Model()


@pytest.fixture
def llm(model: Model) -> Iterator[LLMService]:
    """The service over that model; no connection is made."""
    with LLMService(LLMSettings(), transport=httpx.MockTransport(model)) as service:
        yield service


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    """Two agents and a default."""
    path = tmp_path / "profiles.toml"
    path.write_text("[agents.brief]\nmax_history = 2\nsystem_prompt = 'Be brief.'\n")
    return Profiles.load(AgentSettings(profiles=path))


def test_an_agent_remembers_its_conversation(
    llm: LLMService, profiles: Profiles, model: Model
) -> None:
    """The second question is asked with the first turn before it."""
    agent = BaseAgent("energy", llm=llm, profiles=profiles)
    assert [agent.chat("one"), agent.chat("two")] == ["reply 1", "reply 2"]
    assert model.shown == ["one", "reply 1", "two"]
    assert [message["content"] for message in agent.history] == [
        "one",
        "reply 1",
        "two",
        "reply 2",
    ]


def test_an_agent_without_history_stands_at_the_beginning_each_time(
    llm: LLMService, profiles: Profiles, model: Model
) -> None:
    """keep_history=False."""
    agent = BaseAgent("energy", keep_history=False, llm=llm, profiles=profiles)
    agent.chat("one")
    agent.chat("two")
    assert model.shown == ["two"]
    assert agent.history == []


@pytest.mark.parametrize(
    ("agent_id", "max_history", "kept"), [("brief", None, 2), ("brief", 4, 4), ("brief", 0, 0)]
)
def test_max_history_of_the_call_wins_over_the_profile(
    agent_id: str, max_history: int | None, kept: int, llm: LLMService, profiles: Profiles
) -> None:
    """It bounds what is kept, zero included."""
    agent = BaseAgent(agent_id, max_history=max_history, llm=llm, profiles=profiles)
    for question in "abc":
        agent.chat(question)
    assert agent.max_history == kept
    assert len(agent.history) == kept


def test_a_negative_window_is_refused(llm: LLMService, profiles: Profiles) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="max_history must be 0 or more, not -1"):
        BaseAgent("energy", max_history=-1, llm=llm, profiles=profiles)


def test_a_failed_call_leaves_no_trace(llm: LLMService, profiles: Profiles, model: Model) -> None:
    """The conversation goes on as if the question had not been asked."""
    agent = BaseAgent("energy", llm=llm, profiles=profiles)
    agent.chat("one")
    model.is_busy = True
    with pytest.raises(OllamaBusyError):
        agent.chat("lost")
    model.is_busy = False
    agent.chat("two")
    assert model.shown == ["one", "reply 1", "two"]


def test_the_arguments_of_a_call_reach_the_model(
    llm: LLMService, profiles: Profiles, model: Model
) -> None:
    """And hold for that call only."""
    agent = BaseAgent("brief", llm=llm, profiles=profiles)
    agent.chat("one", system_prompt="Other.", model="other", temperature=0.0, max_tokens=5)
    asked = model.asked[-1]
    assert asked["model"] == "other"
    assert asked["options"] == {"temperature": 0.0, "num_predict": 5}
    agent.chat("two")
    messages = model.asked[-1]["messages"]
    assert isinstance(messages, list)
    assert messages[0] == {"role": "system", "content": "Be brief."}


def test_reset_forgets(llm: LLMService, profiles: Profiles, model: Model) -> None:
    """The next question stands alone."""
    agent = BaseAgent("energy", llm=llm, profiles=profiles)
    agent.chat("one")
    agent.reset_history()
    assert agent.history == []
    agent.chat("two")
    assert model.shown == ["two"]


def test_session_info_says_whose_conversation_it_is(llm: LLMService, profiles: Profiles) -> None:
    """All that services-readme.md prints of it, and more."""
    agent = BaseAgent("brief", "s-1", llm=llm, profiles=profiles)
    agent.chat("one")
    assert agent.get_session_info() == {
        "agent_id": "brief",
        "session_id": "s-1",
        "history_length": 2,
        "keep_history": True,
        "max_history": 2,
        "use_redis": False,
    }


def test_the_history_that_is_handed_out_is_a_copy(llm: LLMService, profiles: Profiles) -> None:
    """Changing the list changes nothing in the agent."""
    agent = BaseAgent("energy", llm=llm, profiles=profiles)
    agent.chat("one")
    agent.history.clear()
    assert len(agent.history) == 2


def test_the_model_is_shown_what_fits_its_window(
    llm: LLMService, profiles: Profiles, model: Model
) -> None:
    """Whole turns; and the prompt begins where the one before began, until the budget is full."""
    model.window_tokens = 1000
    agent = BaseAgent("energy", max_history=1000, llm=llm, profiles=profiles)
    on_start = []
    for number in range(40):
        agent.chat(f"{number:3} {'word ' * 20}")
        on_start.append(model.shown[0][:3])
        assert model.shown[::2] == [
            f"{n:3} {'word ' * 20}" for n in range(int(on_start[-1]), number + 1)
        ]
    assert 3 <= len(set(on_start)) <= 10
    assert len(agent.history) == 80


def test_a_message_that_cannot_fit_is_not_sent(
    llm: LLMService, profiles: Profiles, model: Model
) -> None:
    """The window is known."""
    model.window_tokens = 1000
    agent = BaseAgent("energy", llm=llm, profiles=profiles)
    with pytest.raises(ContextOverflowError, match="does not fit"):
        agent.chat("x" * 8000)
    assert model.asked == []
    assert agent.history == []


def test_a_prompt_that_is_refused_is_shortened_once(
    llm: LLMService, profiles: Profiles, model: Model
) -> None:
    """The model counted more than was estimated."""
    agent = BaseAgent("energy", max_history=1000, llm=llm, profiles=profiles)
    for number in range(20):
        agent.chat(f"question {number} {'x' * 400}")
    model.refuses_over = 9000
    agent.chat("and now?")
    assert 1 < len(model.shown) < 41
    model.refuses_over = 300
    with pytest.raises(ContextOverflowError):
        agent.chat("and then?")
