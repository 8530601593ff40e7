"""docs/services.md, as a reader would follow it: its examples typed in, its commands run.

Each section is one namespace, its `.env` lines are in a `.env` file, and what an example does is
looked for in Redis. The document that it was made from, where it lies beside this repository, is
read in the same way.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from agents import RedisAgent
from llm import get_llm_service
from memory import RedisMemoryService, create_redis_memory_from_config, reset_redis_memory
from sandbox.ollama import OllamaStandIn, reply_to
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "services.md"
ORIGINAL = ROOT.parent / "shared" / "spec" / "services-readme.md"
PASSWORD = "your-password"  # noqa: S105  # a placeholder
"""As the document has it."""

MODULES = {
    "app.services.llm_service": "llm",
    "app.services.redis_memory": "memory",
    "app.services.redis_factory": "memory",
    "app.agents.redis_agent": "agents",
}
"""How the imports of the original are read: docs/services.md has the same table."""

MESSAGE = {"role": "user", "content": "Is it on?"}
GIVEN: dict[str, object] = {
    "user_id": 123,
    "timestamp": 1764547200,
    "agent_id": "energy",
    "message": MESSAGE,
    "new_message": MESSAGE,
    "response": "It is on.",
    "old_sessions": ["old-1", "old-2"],
    "logger": logging.getLogger("reader"),
}
"""What the examples take for granted."""


@dataclass(frozen=True)
class Block:
    """A block of code and where it stands."""

    section: str
    heading: str
    language: str
    text: str


def blocks_of(document: str) -> Iterator[Block]:
    """All blocks of a Markdown document, in order."""
    section = heading = ""
    for prose, language, text in re.findall(r"(.*?)^```(\w*)\n(.*?)^```", document, re.S | re.M):
        for level, title in re.findall(r"^(#+) (.+)$", prose, re.M):
            heading = title
            section = title if level == "##" else section
        yield Block(section, heading, language, text)


@dataclass(frozen=True)
class Step:
    """What was there after one statement."""

    statement: str
    stored: dict[str, list[object]]
    """The contents of each history in Redis, by `agent:session`."""
    remembered: dict[str, list[object]]
    """The contents of each agent's history, by the name of its variable."""


@dataclass
class Reader:
    """Types a document's examples in, statement by statement, and looks at Redis after each."""

    valkey: ValkeyServer
    ollama: OllamaStandIn
    memory: RedisMemoryService
    spaces: dict[str, dict[str, object]] = field(default_factory=dict)
    names: dict[str, object] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    printed: str = ""

    def placed(self, text: str) -> str:
        """`text` with the addresses of this test's servers for those of the document."""
        for old, new in {
            **MODULES,
            "redis.railway.internal": "127.0.0.1",
            "6379": str(self.valkey.port),
            "http://localhost:11434": self.ollama.url,
        }.items():
            text = text.replace(old, new)
        return text

    def read(self, block: Block) -> None:
        """Run one block of Python."""
        self.names = self.spaces.setdefault(
            block.section, {"__name__": f"reader_{uuid.uuid4().hex}", **GIVEN}
        )
        self.steps = []
        output = io.StringIO()
        for statement in ast.parse(self.placed(block.text)).body:
            with contextlib.redirect_stdout(output):
                exec(compile(ast.Module([statement], []), block.heading, "exec"), self.names)  # noqa: S102  # that is the test
            self.steps.append(self._step(ast.unparse(statement)))
        self.printed = output.getvalue()

    def history(self, agent_and_session: str) -> list[list[object]]:
        """How a stored history developed, from statement to statement, without repetitions."""
        seen: list[list[object]] = []
        for step in self.steps:
            now = step.stored.get(agent_and_session, [])
            if not seen or seen[-1] != now:
                seen.append(now)
        return seen

    def ttl(self, key: str) -> int:
        """The TTL of a key, seconds."""
        ttl_s = self.valkey.command("TTL", key)
        assert isinstance(ttl_s, int)
        return ttl_s

    def _step(self, statement: str) -> Step:
        sessions = (
            (agent, session)
            for agent in ("energy", "supervisor")
            for session in self.memory.get_all_sessions_for_agent(agent)
        )
        stored = {
            f"{agent}:{session}": contents(self.memory.get_conversation_history(agent, session))
            for agent, session in sessions
        }
        agents = {name: one for name, one in self.names.items() if isinstance(one, RedisAgent)}
        return Step(
            statement, stored, {name: contents(one.history) for name, one in agents.items()}
        )


def contents(messages: object) -> list[object]:
    """What was said, in order."""
    assert isinstance(messages, list)
    return [message["content"] for message in messages]


def llm_usage(reader: Reader) -> None:
    """The model was asked as the example says, and its answers are the answers."""
    first, *_, last = reader.ollama.calls
    assert first.messages[0]["content"] == "You are an energy expert."
    assert first.messages[1]["content"] == "What are the ECOWAS energy initiatives?"
    assert (first.model, first.options["temperature"]) == ("qwen2.5:0.5b", 0.7)
    assert len(last.messages) == 3
    assert reader.names["response"] == reply_to(last.messages)


def llm_streaming(reader: Reader) -> None:
    """The pieces are the answer."""
    call = reader.ollama.calls[-1]
    assert call.options["num_predict"] == 200
    assert reader.printed == reply_to(call.messages)


def llm_errors(reader: Reader) -> None:
    """With Ollama there, there is an answer and nothing is printed."""
    assert reader.names["response"] == reply_to(reader.ollama.calls[-1].messages)
    assert reader.printed == ""


def basic_setup(reader: Reader) -> None:
    """It is the server of the arguments that was asked."""
    assert reader.printed == "Connected to Redis!\n"


def conversation_history(reader: Reader) -> None:
    """Saved, read, appended to and cleared."""
    assert reader.names["retrieved"] == reader.names["history"]
    saved = contents(reader.names["history"])
    assert reader.history("energy:user-123-session-1") == [
        [],
        saved,
        [*saved, "Tell me more"],
        [],
    ]


def agent_state(reader: Reader) -> None:
    """Under the documented key."""
    state = reader.names["state"]
    assert isinstance(state, dict)
    assert (state["active_agents"], state["pending_requests"]) == (["energy", "agriculture"], 3)
    assert reader.ttl("ecowas:state:supervisor") > 86000


def session_data(reader: Reader) -> None:
    """Under the documented key, unchanged."""
    assert reader.names["data"] == reader.names["session_data"]
    assert reader.ttl("ecowas:session:session-1:metadata") > 86000


def redis_agent(reader: Reader) -> None:
    """The turn is in Redis, the second agent has it, and reset takes it from both."""
    turn = ["What are the renewable energy targets?", reader.names["response"]]
    assert reader.history("energy:user-123-session-1") == [[], turn, []]
    second = next(step for step in reader.steps if step.statement.startswith("agent2 ="))
    assert second.remembered == {"agent": turn, "agent2": turn}
    assert reader.printed == "Session: user-123-session-1, History: 2 messages\n"
    assert reader.steps[-1].remembered == {"agent": [], "agent2": []}


def ttl_management(reader: Reader) -> None:
    """An hour became two."""
    assert contents(reader.names["history"]) == reader.steps[-1].stored["energy:session-1"]
    assert 7190 <= reader.ttl("ecowas:history:energy:session-1") <= 7200


def multi_session(reader: Reader) -> None:
    """All were found, and all are gone."""
    assert reader.names["sessions"] == ["session-1"]
    deleted = reader.names["deleted"]
    assert isinstance(deleted, int)
    assert deleted >= 1
    assert reader.printed == f"Found 1 sessions\nDeleted {deleted} keys\n"
    assert reader.steps[-1].stored == {}
    assert reader.memory.get_agent_state("supervisor") is not None


def statistics(reader: Reader) -> None:
    """As Redis prints them."""
    assert re.fullmatch(r"Used Memory: [\d.]+[BKMG]\nTotal Keys: \d+\n", reader.printed)


def from_config(reader: Reader) -> None:
    """The `.env` file names the server."""
    memory = reader.names["redis_memory"]
    assert isinstance(memory, RedisMemoryService)
    assert memory.health_check()
    assert memory.default_ttl == 86400


def good_session_ids(reader: Reader) -> None:
    """The session that was about to expire lives on."""
    assert reader.names["session_id"] == SESSION
    assert reader.ttl(f"ecowas:history:energy:{SESSION}") > 86000


def history_limits(reader: Reader) -> None:
    """Of 25 messages and one more, 20 are left, the new one the last."""
    before, after = reader.history(f"energy:{SESSION}")[0], reader.steps[-1].stored
    assert before == after[f"energy:{SESSION}"]
    assert len(before) == 20
    assert before[-1] == MESSAGE["content"]


def cleanup(reader: Reader) -> None:
    """The old sessions are gone; others are not."""
    assert set(reader.steps[-1].stored) == {f"energy:{SESSION}"}


def error_handling(reader: Reader) -> None:
    """With Redis there, nothing is printed or lost; a test of its own takes Redis away."""
    assert reader.printed == ""
    assert reader.steps[-1].stored[f"energy:{SESSION}"][-1] == MESSAGE["content"]


def connection_issues(reader: Reader) -> None:
    """The settings' server answers."""
    assert reader.printed == "✅ Connected\n"


def monitoring(reader: Reader) -> None:
    """There is something to count."""
    stats = reader.names["stats"]
    assert isinstance(stats, dict)
    assert 0 < stats["total_keys"] < 10000


def fastapi(reader: Reader) -> None:
    """The endpoint answers and saves, and a request cannot choose the server."""
    app = FastAPI()
    app.include_router(reader.names["router"])  # type: ignore[arg-type]  # made by the example
    asked = {"agent_id": "energy", "session_id": "web", "message": "What is WAPP?"}

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://reader") as client:
            return await client.post("/chat", params={**asked, "host": "203.0.113.1", "port": "1"})

    answer = asyncio.run(post())
    assert answer.status_code == 200
    assert answer.json()["response"]
    assert reader.memory.get_conversation_history("energy", "web") != []
    parameters = app.openapi()["paths"]["/chat"]["post"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == set(asked)


def celery_task(reader: Reader) -> None:
    """It is a task, and it runs."""
    task: Callable[[], object] = reader.names["cleanup_old_sessions"]  # type: ignore[assignment]
    assert task() is None
    assert hasattr(task, "delay")


SESSION = "user-123-1764547200"

CHECKS: dict[str, Callable[[Reader], None]] = {
    "Usage": llm_usage,
    "Streaming": llm_streaming,
    "Errors": llm_errors,
    "1. Basic Setup": basic_setup,
    "2. Conversation History": conversation_history,
    "3. Agent State Management": agent_state,
    "4. Session Data": session_data,
    "Using RedisAgent": redis_agent,
    "TTL Management": ttl_management,
    "Multi-Session Management": multi_session,
    "Memory Statistics": statistics,
    "From Config File": from_config,
    "1. Session Management": good_session_ids,
    "2. History Limits": history_limits,
    "3. Cleanup": cleanup,
    "4. Error Handling": error_handling,
    "Connection Issues": connection_issues,
    "Monitoring": monitoring,
    "With FastAPI Endpoints": fastapi,
    "With Celery Tasks": celery_task,
}
"""What each example has to have done."""

ADDED = {"Streaming", "Errors"}
"""What the original does not have."""


def _expiring_session(memory: RedisMemoryService) -> None:
    memory.save_conversation_history("energy", SESSION, [MESSAGE], ttl=60)


def _long_history(memory: RedisMemoryService) -> None:
    memory.save_conversation_history("energy", SESSION, [MESSAGE] * 25)


def _old_sessions(memory: RedisMemoryService) -> None:
    for session in ("old-1", "old-2"):
        memory.save_conversation_history("energy", session, [MESSAGE])


BEFORE: dict[str, Callable[[RedisMemoryService], None]] = {
    "1. Session Management": _expiring_session,
    "2. History Limits": _long_history,
    "3. Cleanup": _old_sessions,
}
"""What has to be there for an example to show anything."""


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A server with the document's password."""
    with ValkeyServer(password=PASSWORD) as server:
        yield server


@pytest.fixture
def reader(
    valkey: ValkeyServer,
    ollama: OllamaStandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Reader]:
    """Someone in a directory of their own, with the document's settings in `.env`."""
    ollama.reset()
    for name in os.environ:
        if name.startswith(("REDIS_", "OLLAMA_", "LLM_", "AGENT_", "SUPERVISOR_")):
            monkeypatch.delenv(name)
    # So that the outage below is noticed soon.
    monkeypatch.setenv("REDIS_TIMEOUT", "0.5")
    monkeypatch.chdir(tmp_path)
    memory = RedisMemoryService("127.0.0.1", valkey.port, password=PASSWORD)
    started = Reader(valkey, ollama, memory)
    settings = "".join(settings_of(block) for block in blocks_of(DOCUMENT.read_text("utf-8")))
    (tmp_path / ".env").write_text(started.placed(settings), "utf-8")
    reset_redis_memory()
    get_llm_service().close()
    yield started
    reset_redis_memory()
    get_llm_service().close()
    memory.close()


def settings_of(block: Block) -> str:
    """The block if it is lines for a `.env` file, else nothing."""
    is_settings = block.language == "bash" and re.search(r"^[A-Z_]+=", block.text, re.M)
    return block.text if is_settings else ""


def commands_of(block: Block) -> list[str]:
    """The commands of a block that is for a shell."""
    if block.language != "bash" or settings_of(block):
        return []
    lines = (line.partition("#")[0].strip() for line in block.text.splitlines())
    return [line for line in lines if line]


def is_signature(block: Block) -> bool:
    """Whether a block only shows how something is called."""
    return block.heading == "RedisMemoryService"


def follow(document: Path, reader: Reader) -> list[str]:
    """Type in every Python block; the headings they stand under, in order."""
    headings = []
    for block in blocks_of(document.read_text("utf-8")):
        if block.language != "python" or is_signature(block):
            continue
        prepare = BEFORE.get(block.heading)
        if prepare is not None:
            prepare(reader.memory)
        reader.read(block)
        CHECKS[block.heading](reader)
        headings.append(block.heading)
    return headings


def test_every_example_of_the_document_does_what_it_says(reader: Reader) -> None:
    """In order, in one namespace per section, against real servers."""
    assert list(dict.fromkeys(follow(DOCUMENT, reader))) == list(CHECKS)


@pytest.mark.skipif(not ORIGINAL.exists(), reason="the original document is not beside this tree")
def test_every_example_of_the_original_does_what_it_says(reader: Reader) -> None:
    """With the imports read as MODULES has them; nothing else is changed."""
    headings = list(dict.fromkeys(follow(ORIGINAL, reader)))
    assert headings == [heading for heading in CHECKS if heading not in ADDED]


@pytest.mark.skipif(not ORIGINAL.exists(), reason="the original document is not beside this tree")
def test_the_document_has_every_part_of_the_original() -> None:
    """Each heading, each line of settings, each command, each row of a table."""
    ours = DOCUMENT.read_text("utf-8")
    original = ORIGINAL.read_text("utf-8")
    for old, new in MODULES.items():
        original = original.replace(old, new)
    kept = re.findall(r"^(?:#{2,} .+|\|.+\||[A-Z_]+=.+|pytest .+|python .+)$", original, re.M)
    assert len(kept) > 60
    assert [line for line in kept if line not in ours] == []


def test_the_fallback_examples_notice_that_redis_is_away(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of the two logs its line, and goes on."""
    blocks = list(blocks_of(DOCUMENT.read_text("utf-8")))
    handling = [block for block in blocks if block.heading == "4. Error Handling"]
    assert len(handling) == 2
    reader.spaces[handling[0].section] = {
        "redis_memory": create_redis_memory_from_config(),
        **GIVEN,
        "session_id": SESSION,
    }
    reader.valkey.kill()
    for block in handling:
        names = reader.spaces[block.section]
        exec(reader.placed(block.text), names)  # noqa: S102  # that is the test
        assert caplog.records.pop().getMessage().startswith("Redis unavailable, using fallback")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_command_of_the_document_works(reader: Reader, tmp_path: Path) -> None:
    """In the repository's root, with the settings of the document in the environment.

    Of the whole file of tests, which this suite runs anyway, a command runs one part only.
    """
    blocks = list(blocks_of(DOCUMENT.read_text("utf-8")))
    commands = [command for block in blocks for command in commands_of(block)]
    assert len(commands) == 5
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": reader.valkey.url(),
        "REDIS_TIMEOUT": "5",
        "COVERAGE_FILE": str(tmp_path / "coverage"),
        "PYTHONUTF8": "1",
        # A library of a dev dependency; its pytest plugin takes seconds to load.
        "PYTEST_ADDOPTS": "-p no:langsmith_plugin",
    }

    def run(command: str) -> "subprocess.CompletedProcess[str]":
        part = ["-k", "conversation_history"] if command.startswith("pytest") else []
        return subprocess.run(
            [*shlex.split(command), *part],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=scaled(120),
            check=False,
        )

    with ThreadPoolExecutor(2) as pool:
        for command, done in zip(commands, pool.map(run, commands), strict=True):
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert done.stdout.strip(), command


def test_the_commands_of_the_support_section_are_those_that_were_run() -> None:
    """Nothing is recommended at the end of the page that was not tried before."""
    text = DOCUMENT.read_text("utf-8")
    tried = {command for block in blocks_of(text) for command in commands_of(block)}
    recommended = set(re.findall(r"`((?:python|pytest) [^`]+)`", text))
    assert recommended
    assert recommended <= tried


@pytest.mark.parametrize("document", [DOCUMENT, ORIGINAL], ids=["ours", "original"])
def test_the_table_of_methods_is_true(document: Path) -> None:
    """14 methods, each with the parameters of those names, in that order."""
    if not document.exists():
        pytest.skip("the original document is not beside this tree")
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \|", document.read_text("utf-8"), re.M)
    assert len(rows) == 14
    for name, parameters in rows:
        method = inspect.signature(getattr(RedisMemoryService, name))
        given = [word.strip() for word in parameters.split(",") if word]
        assert list(method.parameters) == ["self", *given], name


@pytest.mark.parametrize("document", [DOCUMENT, ORIGINAL], ids=["ours", "original"])
def test_the_constructor_is_as_shown(document: Path) -> None:
    """Names, order and defaults of the documented parameters."""
    if not document.exists():
        pytest.skip("the original document is not beside this tree")
    (block,) = filter(is_signature, blocks_of(document.read_text("utf-8")))
    (shown,) = ast.parse(f"def {block.text.strip()}: ...").body
    assert isinstance(shown, ast.FunctionDef)
    defaults = [ast.literal_eval(default) for default in shown.args.defaults]
    expected = dict(zip([arg.arg for arg in shown.args.args], defaults, strict=True))
    real = inspect.signature(RedisMemoryService).parameters.values()
    by_position = {
        one.name: one.default for one in real if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    assert by_position == expected
