"""LangChain and OpenAI's Agents SDK hold a conversation through the gateway, functions and all."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.support.machine import scaled

ROOT = Path(__file__).resolve().parents[3]
SDK = Path(sys.prefix) / "agents-sdk"
SCRIPT = ROOT / "tests" / "support" / "servers" / "agents_sdk.py"


class Verdict(BaseModel):
    """A structured reply."""

    text: str
    score: int


@tool
def look_up(country: str) -> str:
    """The capacity of a country."""
    return f"{country}: 4975 MW"


@pytest.fixture(params=[False, True], ids=["completions", "responses"])
def chat(gateway: str, request: pytest.FixtureRequest) -> Iterator[ChatOpenAI]:
    """LangChain's model, in both of its ways to ask."""
    with httpx.Client(trust_env=False) as http:
        yield ChatOpenAI(
            model="tools", base_url=f"{gateway}/v1", api_key=SecretStr("none"),
            use_responses_api=request.param, http_client=http, max_retries=0, timeout=30,
            temperature=0.5, top_p=0.9, stream_usage=True,
        )  # fmt: skip


def test_langchain_calls_a_function_and_goes_on(chat: ChatOpenAI) -> None:
    """A question, a call, its result, the answer, and the next question."""
    bound = chat.bind_tools([look_up])
    said: list[BaseMessage] = [HumanMessage("Ghana")]
    called = bound.invoke(said)
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("look_up", {"country": "Ghana"})
    said += [called, ToolMessage(look_up.invoke(call["args"]), tool_call_id=call["id"])]
    answer = bound.invoke(said)
    assert answer.text
    assert not answer.tool_calls
    said += [answer, HumanMessage("Togo")]
    (again,) = bound.invoke(said).tool_calls
    assert again["args"] == {"country": "Togo"}


def test_langchain_streams(chat: ChatOpenAI) -> None:
    """Text, and calls that its chunks add up to."""
    whole: BaseMessage | None = None
    for chunk in chat.stream("Hello"):
        whole = chunk if whole is None else whole + chunk  # type: ignore[operator, assignment]  # chunks add up
    assert whole is not None
    assert "Hello" in whole.text
    called = None
    for chunk in chat.bind_tools([look_up]).stream("Ghana"):
        called = chunk if called is None else called + chunk  # type: ignore[operator, assignment]  # chunks add up
    assert [call["args"] for call in called.tool_calls] == [{"country": "Ghana"}]  # type: ignore[union-attr]  # of a chunk


def test_langchain_has_structured_output(chat: ChatOpenAI) -> None:
    """By a schema, which is its own default."""
    judged = chat.with_structured_output(Verdict).invoke("Judge it.")
    assert isinstance(judged, Verdict)


@pytest.mark.slow
@pytest.mark.skipif(
    not SDK.exists(), reason="the Agents SDK is not installed: make .venv/.installed"
)
@pytest.mark.parametrize("kind", ["responses", "completions"])
def test_the_agents_sdk_holds_a_session(gateway: str, kind: str) -> None:
    """Three turns, each with a call of a function, in a session of its own; in a process, for its
    package has the name of one of ours."""
    environment = {**os.environ, "PYTHONPATH": str(SDK), "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(  # our own
        [sys.executable, str(SCRIPT), gateway, kind, uuid.uuid4().hex],
        env=environment, capture_output=True, text=True, timeout=scaled(60), check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    assert told["looked_up"] == ["Ghana", "Togo", "Benin"]
    assert all(told["answers"])
    assert told["items"] >= 12
