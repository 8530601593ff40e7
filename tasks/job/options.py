"""The options of a chat job, as a producer gives them: each is described here, and only here.

Types for a type checker. What the values must be is checked when a job is sent (tasks/job/job.py);
a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Required, TypeAlias, TypedDict

from pydantic import JsonValue

from memory import OnBusy

OnBusyName: TypeAlias = Literal[
    "enqueue", "reject", "interrupt", "rollback", "replace_pending", "merge"
]
"""The values of memory.OnBusy, for a producer that writes them as text."""


class ChatOptions(TypedDict, total=False):
    """What `chat_task.delay` and `tasks.aio.send` take besides agent, session and message.

    An option that is left out, or None, is as the agent's profile says, or not used.
    """

    system_prompt: str | None
    """Replaces the agent's system prompt for this job; at most 65 536 bytes of UTF-8."""
    model: str | None
    """The Ollama model that answers, instead of the agent's: one that CHAT_ALLOWED_MODELS has."""
    temperature: float | None
    """0 to 2."""
    max_tokens: int | None
    """The most tokens that a reply may have; 1 to 1 000 000."""
    max_history: int | None
    """How many earlier messages the model is shown at most; 0 shows it none."""
    images: list[str] | None
    """Images beside the message, each base64; the model must be able to see."""
    format: Literal["json"] | dict[str, JsonValue] | None
    """"json", or a JSON Schema that the reply must fit; the result then has its value in `parsed`.
    Cannot be combined with `tools`."""
    think: bool | str | None
    """Switches the model's thinking on or off, or names a level that the model knows ("high").
    None: as the model likes, and off where a `format` is asked for."""
    tools: list[str] | None
    """The agent's tools that the model may call, by name (at most 128 of at most 128 characters);
    None: all of them, []: none."""
    functions: Sequence[Mapping[str, JsonValue]] | None
    """Functions that the client runs itself: name (letters, digits, `_`, `-`; at most 64),
    `description`, `parameters`, `strict`; at most 128, of at most 131 072 bytes of JSON. A turn
    ends with their calls, which the result has in `calls`; a job whose message is "" and whose
    `preceding` ends with the results goes on from there. Cannot be combined with `format`."""
    parallel_tool_calls: bool | None
    """False: of several calls in one answer of the model the first counts."""
    sampling: Mapping[str, JsonValue] | None
    """`top_p` (over 0, to 1), `seed` (of 32 bits), `stop` (at most 4 texts of at most 256
    characters), `presence_penalty` and `frequency_penalty` (-2 to 2), as Ollama has them."""
    idempotency_key: str | None
    """Jobs of a session with the same key are one job, for a week; instead of a `task_id`."""
    on_busy: OnBusy | OnBusyName
    """What becomes of the session's other jobs; default "enqueue": this one waits behind them."""
    not_before: datetime | float | str | None
    """When the job takes its place in its session, at most a year ahead: a datetime with a time
    zone, Unix time in seconds, or ISO 8601 with a time zone. Until then it holds nobody up, and
    `on_busy`, which it applies then, cannot be "reject"."""
    expires: datetime | float | str | None
    """By when the job must have begun, at most a year ahead: seconds from the sending, a datetime
    with a time zone, or ISO 8601 with a time zone. One that has not ends in its turn as JobExpired,
    without a call of the model."""
    timeout_s: float | None
    """How long its turn may run, over 0 to 86 400 seconds; None: as its agent's profile says. Then
    it is stopped, and the job fails with JobTimeout. What it waits for before does not count."""
    preceding: Sequence[Mapping[str, JsonValue]] | None
    """Messages that go into the history right before this one and are shown as part of it, as
    `memory.RedisMemoryService.save_conversation_history` takes them; 1000 at most, which are at
    most 1 048 576 bytes of JSON."""
    metadata: Mapping[str, JsonValue] | None
    """A JSON object of at most 8192 bytes that comes back with the result. Its `user_id` says whose
    messages may be merged."""
    webhook: str | None
    """The address that is told how the job has ended, of a host that WEBHOOK_HOSTS allows; None:
    what the agent's profile says."""


class ChatArguments(ChatOptions):
    """All arguments of a chat job by name: `kwargs` of `chat_task.apply_async`."""

    agent_id: Required[str]
    session_id: Required[str]
    message: Required[str]


class JobToSend(ChatArguments, total=False):
    """One job of `tasks.send_many`."""

    task_id: str | None
    """The job's id, as `apply_async` takes it; None: a new one, or that of its
    `idempotency_key`."""
