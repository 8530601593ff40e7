"""What a model's server refuses is asked in plainer forms, by a worker's call and by an agent."""

from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import httpx
import orjson
import pytest

from agents import AgentSettings, Ask, BaseAgent, Profile, Profiles, ToolContext, ToolRounds
from llm import (
    Capabilities,
    ChatRequest,
    ContextLimits,
    Delta,
    Final,
    LLMService,
    LLMSettings,
    OllamaClient,
    RequestRejectedError,
    UnsupportedError,
)
from tasks.turn.context import TurnContext
from tasks.turn.fitted_call import FittedCall, FittedReply
from tests.contract.tasks.test_fitted_call import Ear
from tests.support.odd.histories import PNG, assistant, call, calls, system, tool, user

SETTINGS = LLMSettings(num_ctx=4096)
PROFILE = Profile("energy", "Be brief.", None, None, None, max_history=100)
HISTORY = [
    user(images=[PNG]),
    calls(call(id="c")),
    tool("5", tool_call_id="c"),
    assistant("Five."),
    system(),
]
Refuses = Callable[[list[Mapping[str, object]]], bool]


def has_image(messages: list[Mapping[str, object]]) -> bool:
    """As a model that sees nothing, and whose server does not say so."""
    return any("images" in message for message in messages)


def has_system(messages: list[Mapping[str, object]]) -> bool:
    """As a model whose Modelfile has messages of its own before ours."""
    return messages[0]["role"] == "system"


def has_history(messages: list[Mapping[str, object]]) -> bool:
    """For a reason that nobody knows."""
    return len(messages) > 1


class Server:
    """Refuses what it refuses, and answers all else."""

    def __init__(self, refuses: Refuses) -> None:
        self._refuses = refuses
        self.asked: list[list[Mapping[str, object]]] = []

    async def chunks(self, request: ChatRequest) -> AsyncGenerator[list[Delta | Final], None]:
        """One call."""
        messages = orjson.loads(request.body())["messages"]
        self.asked.append(messages)
        if self._refuses(messages):
            raise RequestRejectedError(f"refusal {len(self.asked)}")
        yield [Delta(text="yes")]
        yield [Final(model="m", prompt_tokens=5)]


async def ask(
    server: Server, client: OllamaClient, *, told: frozenset[str] | None = None, images: int = 0
) -> FittedReply:
    """A question behind that history, to a model whose server tells this of its abilities."""

    async def abilities(_: str) -> frozenset[str] | None:
        return told

    rounds = ToolRounds([], ToolContext("a", "s", "j", 1), max_rounds=1, on_event=lambda _: None)
    shown = TurnContext(
        Ask(message="new", images=(PNG,) * images),
        PROFILE,
        SETTINGS,
        Capabilities(abilities),
        history=HISTORY,
        stored_messages=len(HISTORY),
        rounds=rounds,
    )
    return await FittedCall(ContextLimits([client], SETTINGS), server.chunks, Ear()).ask(shown)


@pytest.mark.parametrize(
    ("refuses", "calls_made", "shown"),
    [(has_image, 2, 5), (has_system, 2, 5), (has_history, 3, 0)],
)
async def test_a_conversation_outlives_what_its_server_refuses(
    client: OllamaClient, refuses: Refuses, calls_made: int, shown: int
) -> None:
    """First without images, tools and system message, then without the history."""
    server = Server(refuses)
    reply = await ask(server, client)
    assert (len(server.asked), reply.prompt.history_messages) == (calls_made, shown)
    assert reply.prompt.form.has_history is bool(shown)
    assert str(server.asked[-1]).count("Be brief.") == 1


async def test_the_first_refusal_is_the_one_that_is_told(client: OllamaClient) -> None:
    """It is of what was really asked."""
    server = Server(lambda _: True)
    with pytest.raises(RequestRejectedError, match="refusal 1"):
        await ask(server, client)
    assert len(server.asked) == 3


async def test_what_the_turn_itself_wants_is_no_matter_of_the_history(
    client: OllamaClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent: its model is known to see nothing."""
    server = Server(has_image)
    with pytest.raises(UnsupportedError, match="vision"):
        await ask(server, client, told=frozenset({"completion"}), images=1)
    assert server.asked == []
    assert "plainer form" not in caplog.text


async def test_a_model_that_is_known_to_do_less_is_asked_once(client: OllamaClient) -> None:
    """Its images and calls are left out beforehand; the receipt's prompt knows of it."""
    server = Server(has_image)
    reply = await ask(server, client, told=frozenset({"completion"}))
    assert len(server.asked) == 1
    assert reply.prompt.repairs.as_text == (1, 2)


def test_an_agent_goes_on_too(tmp_path: Path) -> None:
    """An agent without the queue, whose model's server refuses any history."""
    asked: list[list[Mapping[str, object]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/chat":
            return httpx.Response(200, content=iter([b'{"models": []}']))
        messages = orjson.loads(request.content)["messages"]
        if not messages:
            return httpx.Response(200, content=iter([b'{"done": true, "done_reason": "load"}\n']))
        asked.append(messages)
        if has_history(asked[-1]):
            return httpx.Response(400, content=iter([b'{"error": "roles must alternate"}']))
        record = {"message": {"content": "yes"}, "done": True, "done_reason": "stop"}
        return httpx.Response(200, content=iter([orjson.dumps(record) + b"\n"]))

    path = tmp_path / "profiles.toml"
    path.write_text("[default]\n")
    with LLMService(SETTINGS, transport=httpx.MockTransport(answer)) as llm:
        agent = BaseAgent("a", llm=llm, profiles=Profiles.load(AgentSettings(profiles=path)))
        assert [agent.chat("one"), agent.chat("two")] == ["yes", "yes"]
    assert [len(messages) for messages in asked] == [1, 3, 3, 1]
    assert len(agent.history) == 4
