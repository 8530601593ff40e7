"""One question to the model, against the stand-in: overflow and silent cuts, and how many calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from agents import FULL, Ask, Profile, Prompt, PromptForm, prompt_for
from llm import (
    ContextLimits,
    ContextOverflowError,
    Delta,
    Final,
    LLMSettings,
    OllamaClient,
    TokenBudget,
)
from sandbox.ollama import OllamaStandIn
from tasks.turn.fitted_call import FittedCall, FittedReply

PROFILE = Profile("energy", "Be brief.", None, None, None, max_history=1000)
HISTORY = [
    {"role": role, "content": f"{role} {number} " + "says this and that " * 10}
    for number in range(40)
    for role in ("user", "assistant")
]


@dataclass
class Ear:
    """Notes what it hears; what was heard before a new begin counts no more."""

    said: list[str] = field(default_factory=list)
    begun: int = 0

    def on_start(self, model: str) -> None:
        """The model is asked."""
        self.begun += 1
        self.said.clear()

    def on_prompt(self, tokens: int) -> None:
        """A prompt is sent."""

    def on_answer(self, final: Final) -> None:
        """The reply is whole."""

    def on_said(self, said: Delta, pieces: int) -> None:
        """Pieces of the reply."""
        self.said.append(said.text)


@dataclass
class Conversation:
    """The last `limit` messages of the history, and a question."""

    question: Ask
    settings: LLMSettings
    limit: int
    reply_tokens: int | None = None
    form: PromptForm = FULL
    past: Sequence[Mapping[str, object]] = tuple(HISTORY)

    @property
    def model(self) -> str:
        """The model that is called."""
        return str(self.question.model)

    async def prompt(self, budget: TokenBudget) -> Prompt:
        """What fits of it."""
        history = self.past[len(self.past) - self.limit :]
        return prompt_for(self.question, PROFILE, history, self.settings, budget, form=self.form)

    def make_plainer(self) -> bool:
        """In the next form, while there is one."""
        form = self.form.plainer if self.limit else None
        self.form = form or self.form
        return form is not None


@pytest.fixture
def ear() -> Ear:
    """A listener."""
    return Ear()


async def ask(
    client: OllamaClient,
    ear: Ear,
    model: str,
    message: str = "And now?",
    *,
    context_limits: ContextLimits | None = None,
    limit: int = len(HISTORY),
    settings: LLMSettings | None = None,
) -> FittedReply:
    """Ask with the whole history that fits."""
    settings = settings or LLMSettings()
    question = Ask(message=message, model=model)

    context_limits = context_limits or ContextLimits([client], settings)
    shown = Conversation(question, settings, limit)
    return await FittedCall(context_limits, client.chunks, ear).ask(shown)


async def test_what_fits_is_asked_once(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """And all of it is shown; the estimate is near the count."""
    context_limits = ContextLimits([client], LLMSettings(num_ctx=32_768))
    reply = await ask(client, ear, "ok", context_limits=context_limits)
    assert (ollama.stats.requests, ear.begun) == (1, 1)
    assert reply.prompt.history_messages == len(HISTORY)
    assert not reply.is_truncated
    counted = reply.answer.final.prompt_tokens
    assert reply.prompt.fit.estimated_tokens == pytest.approx(counted, rel=0.15)


async def test_a_known_window_needs_no_second_call(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """Fewer turns are shown, and nothing is refused or cut."""
    context_limits = ContextLimits([client], LLMSettings(num_ctx=1500))
    reply = await ask(client, ear, "window:ctx1500", context_limits=context_limits)
    assert ollama.stats.requests == 1
    assert 0 < reply.prompt.history_messages < len(HISTORY)
    assert reply.answer.final.prompt_tokens <= 1500


async def test_a_model_that_is_not_loaded_is_loaded_before_anything_is_left_out(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """Nobody knows its window before that; a short conversation does not wait for it, unless its
    reply could run past the window."""
    reply = await ask(client, ear, "cold:load50ms")
    assert ollama.stats.load_requests == 1
    assert [len(call.messages) for call in ollama.calls] == [len(HISTORY) + 2]
    assert reply.prompt.history_messages == len(HISTORY)
    assert reply.budget.is_known
    assert ear.begun == 1
    ollama.reset()
    await ask(client, ear, "cold:load1ms", limit=4, settings=LLMSettings(shared=False))
    assert (ollama.stats.load_requests, len(ollama.calls)) == (0, 1)
    await ask(client, ear, "cold:load2ms", limit=4)
    assert (ollama.stats.load_requests, len(ollama.calls)) == (1, 2)


@pytest.mark.parametrize(
    "model", ["window:ctx1800-dense3", "rendered:ctx1800-dense2", "old-window:ctx1800-dense2"]
)
async def test_a_refused_prompt_is_shortened_and_asked_once_more(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear, model: str
) -> None:
    """The model counts far more than was estimated: two calls, and an honest answer."""
    context_limits = ContextLimits([client], LLMSettings(num_ctx=4096))
    reply = await ask(client, ear, model, context_limits=context_limits)
    assert [call.status for call in ollama.calls] == [400, 200]
    assert ear.begun == 2
    assert not reply.is_truncated
    assert 0 < reply.prompt.history_messages < len(HISTORY)
    assert "".join(ear.said) == reply.answer.text


async def test_questions_that_stand_in_one_message_are_shortened_too(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """Nobody has answered any of them, so the request has one message before and after."""
    settings = LLMSettings(base_url=client.base_url, num_ctx=4096)
    question = Ask(message="And now?", model="window:ctx1800-dense3", system_prompt="")
    asked = [message for message in HISTORY if message["role"] == "user"]
    shown = Conversation(question, settings, len(asked), past=asked)
    reply = await FittedCall(ContextLimits([client], settings), client.chunks, ear).ask(shown)
    assert [call.status for call in ollama.calls] == [400, 200]
    assert [len(call.messages) for call in ollama.calls] == [1, 1]
    assert 0 < reply.prompt.history_messages < len(asked)


async def test_a_reply_that_runs_past_the_window_is_marked(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """The counts tell; the estimate of the prompt was far too low for the bound of the reply."""
    ollama.script("ok", ["window:ctx1000-600-dense4"])
    settings = LLMSettings(num_ctx=1024)
    context_limits = ContextLimits([client], settings)
    reply = await ask(client, ear, "ok", "x" * 600, context_limits=context_limits, limit=0)
    final = reply.answer.final
    assert final.prompt_tokens + final.completion_tokens > 1024
    assert reply.is_truncated
    again = await ask(client, ear, "ok", context_limits=context_limits, limit=0)
    assert not again.is_truncated


async def test_a_reply_may_fill_what_the_window_has_left(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """And no more, where nothing makes the server end it there; of its own it may be shorter."""
    model = "window:ctx2000-5000"
    reply = await ask(client, ear, model)
    call = ollama.calls[-1]
    left = reply.budget.left_after(reply.prompt.fit.estimated_tokens)
    assert (call.options["num_predict"], reply.answer.final.done_reason) == (left, "length")
    assert not reply.is_truncated
    await ask(client, ear, model, settings=LLMSettings(num_predict=7))
    assert ollama.calls[-1].options["num_predict"] == 7
    await ask(client, ear, model, settings=LLMSettings(shared=False))
    assert "num_predict" not in ollama.calls[-1].options


async def test_a_message_that_cannot_fit_is_refused_before_any_call(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """The window is known."""
    context_limits = ContextLimits([client], LLMSettings(num_ctx=1000))
    with pytest.raises(ContextOverflowError, match="does not fit the model's window"):
        await ask(client, ear, "ok", "x" * 8000, context_limits=context_limits)
    assert ollama.stats.requests == 0
    assert ear.begun == 0


async def test_a_message_that_proves_too_long_is_asked_once(
    client: OllamaClient, ollama: OllamaStandIn, ear: Ear
) -> None:
    """Nothing could be left out of it: asking again would be refused again."""
    alone = LLMSettings(shared=False)
    with pytest.raises(ContextOverflowError):
        await ask(client, ear, "window:ctx1000-dense2", "x" * 8000, limit=0, settings=alone)
    assert [call.status for call in ollama.calls] == [400]
