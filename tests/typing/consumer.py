"""What a type checker sees of Griot in somebody else's program. It is checked and never run.

`assert_type` says what a call gives. A line with an `ignore` is a mistake that must be found: mypy
reports an `ignore` where there is none.
"""

from collections.abc import AsyncGenerator, Iterator
from typing import assert_type

from agents import RedisAgent, SessionInfo
from llm import LLMService, get_llm_service
from memory import RedisMemoryService, get_redis_memory
from tasks import (
    CancelOutcome,
    ChatArguments,
    ChatOptions,
    ChatResult,
    ChatTask,
    Event,
    EventType,
    FoundJob,
    FoundJobs,
    JobResult,
    OnBusy,
    Usage,
    UsageRow,
    aio,
    chat_task,
    find_jobs,
    follow,
    follow_job,
    usage,
)


def send() -> None:
    """`delay` takes every option and no other."""
    assert_type(chat_task, ChatTask)
    assert_type(chat_task.delay("energy", "s", "Hello"), JobResult)
    chat_task.delay(agent_id="energy", session_id="s", message="Hello", model=None)
    chat_task.delay(
        "energy",
        "s",
        "Hello",
        system_prompt="You are brief.",
        model="qwen2.5:0.5b",
        temperature=0,
        max_tokens=200,
        max_history=10,
        images=["aGVsbG8="],
        format={"type": "object", "properties": {"answer": {"type": "string"}}},
        think="high",
        tools=[],
        idempotency_key="order-7",
        on_busy="interrupt",
        metadata={"user_id": 7, "tags": ["a", "b"]},
        tags=("import-7",),
    )
    options: ChatOptions = {"format": "json", "think": True, "on_busy": OnBusy.MERGE}
    options["max_tokens"] = 5
    chat_task.delay("energy", "s", "Hello", **options)


async def look() -> None:
    """Jobs and usage are records, and what is looked for has its types."""
    assert_type(find_jobs(state="failed", tag="import-7"), FoundJobs)
    assert_type((await aio.find_jobs(user="ama", limit=5)).jobs[0], FoundJob)
    assert_type(usage("user")[0].spent.tokens_in, int)
    assert_type(await aio.usage("model", each_day=True), tuple[UsageRow, ...])
    assert_type((await aio.drain("celery@host")).running, int)
    find_jobs(state="lost")  # type: ignore[arg-type]
    usage("session")  # type: ignore[arg-type]


def send_wrongly() -> None:
    """Mistakes in a call of `delay`."""
    chat_task.delay("energy", "s")  # type: ignore[call-arg]
    chat_task.delay("energy", 5, "Hello")  # type: ignore[arg-type]
    chat_task.delay("energy", "s", "Hello", temprature=0.5)  # type: ignore[call-arg]
    chat_task.delay("energy", "s", "Hello", temperature="0.5")  # type: ignore[arg-type]
    chat_task.delay("energy", "s", "Hello", images="aGVsbG8=")  # type: ignore[arg-type]
    chat_task.delay("energy", "s", "Hello", format="yaml")  # type: ignore[arg-type]
    chat_task.delay("energy", "s", "Hello", on_busy="shout")  # type: ignore[arg-type]
    chat_task.delay("energy", "s", "Hello", metadata={"at": object()})  # type: ignore[dict-item]
    chat_task.delay("energy", "s", "Hello", countdown=5)  # type: ignore[call-arg]


def send_with_celery_options() -> None:
    """`apply_async` takes the arguments as a tuple or by name, and Celery's options."""
    job = chat_task.apply_async(("energy", "s", "Hello"), {"max_tokens": 5}, priority=3)
    assert_type(job, JobResult)
    arguments: ChatArguments = {"agent_id": "energy", "session_id": "s", "message": "Hello"}
    assert_type(chat_task.apply_async(kwargs=arguments, task_id="7", queue="chat"), JobResult)
    chat_task.apply_async(("energy", "s", "Hello"), {"max_tokens": "5"})  # type: ignore[call-overload]
    chat_task.apply_async(("energy", "s"))  # type: ignore[arg-type]
    chat_task.apply_async(kwargs={"agent_id": "energy"})  # type: ignore[call-overload]
    chat_task.apply_async(("energy", "s", "Hello"), task_id=7)  # type: ignore[call-overload]


def read(job: JobResult) -> None:
    """A result has its fields, and what was not asked for may be missing."""
    assert_type(job.id, str)
    result = job.get(timeout=5)
    assert_type(result, ChatResult)
    assert_type(result["response"], str)
    assert_type(result["usage"], Usage)
    assert_type(result["usage"]["prompt_tokens"], int)
    assert_type(result.get("merged_into"), str | None)
    assert_type(job.get(propagate=False), ChatResult | BaseException)
    job.get(timeout="5")  # type: ignore[call-overload]
    result["reply"]  # type: ignore[typeddict-item]


def watch(job: JobResult) -> None:
    """Events of a job and of a session; a cancel says what it has come to."""
    assert_type(follow("energy", "s", after="0-0"), Iterator[Event])
    for event in follow_job(job.id):
        assert_type(event.type, EventType)
        assert_type(event.text, str)
        print(event.tokens)  # type: ignore[attr-defined]
    assert_type(chat_task.cancel(job.id, "keep"), CancelOutcome)
    chat_task.cancel(job.id, "drop")  # type: ignore[arg-type]


async def on_a_loop() -> None:
    """The same on an event loop."""
    job = await aio.send("energy", "s", "Hello", task_id="7", on_busy="reject")
    assert_type(job, JobResult)
    assert_type(aio.follow_job(job.id), AsyncGenerator[Event, None])
    assert_type(aio.follow("energy", "s", keep_alive_s=15), AsyncGenerator[Event, None])
    assert_type(await aio.cancel(job.id), CancelOutcome)
    await aio.send("energy", "s", "Hello", max_token=5)  # type: ignore[call-arg]
    await aio.send("energy", "s", "Hello", max_tokens="5")  # type: ignore[arg-type]
    aio.send("energy", "s", "Hello")  # type: ignore[unused-coroutine]


def ground() -> None:
    """The packages below the queue."""
    memory = get_redis_memory(host="localhost", port=6379)
    assert_type(memory, RedisMemoryService)
    assert_type(memory.get_all_sessions_for_agent("energy"), list[str])
    assert_type(memory.health_check(), bool)
    get_redis_memory(port="6379")  # type: ignore[arg-type]
    llm = get_llm_service()
    assert_type(llm, LLMService)
    assert_type(llm.chat(prompt="Hello", temperature=0.7), str)
    llm.chat(promt="Hello")  # type: ignore[call-arg]
    agent = RedisAgent("energy", session_id="s")
    assert_type(agent.chat("Hello"), str)
    assert_type(agent.get_session_info(), SessionInfo)
    RedisAgent("energy")  # type: ignore[call-arg]
