"""The window of a model, and what becomes of a longer prompt (docs/ollama.md, Window). Pure."""

from dataclasses import replace

from sandbox.ollama import refusals, replies
from sandbox.ollama.request.bodies import ModelRequest
from sandbox.ollama.request.options import LoadOptions, integer, load_options
from sandbox.ollama.scenarios import Scenario

DEFAULT_WINDOW_TOKENS = 32_768
"""What a server with 23 GiB of video memory gives a model that asks for nothing else."""

_NUM_KEEP = 4


def wanted_options(asked: ModelRequest, scenario: Scenario) -> LoadOptions:
    """With what the model has to be loaded for this request."""
    return load_options(
        asked.options,
        shift=asked.shift,
        window_tokens=default_window(scenario),
        trained_tokens=trained_window(scenario),
    )


def default_window(scenario: Scenario) -> int:
    """The window of a request that asks for none."""
    own = scenario.file_window_tokens or scenario.window_tokens or DEFAULT_WINDOW_TOKENS
    return min(own, trained_window(scenario))


def trained_window(scenario: Scenario) -> int:
    """The longest window that the model can be loaded with."""
    return max(scenario.trained_tokens, scenario.window_tokens or 0)


def trimmed(asked: ModelRequest, scenario: Scenario) -> ModelRequest:
    """With the messages that Ollama keeps: the system's, the last one, and the newest others that
    fit. Unless the request forbids it."""
    if not asked.truncate:
        return asked
    window = wanted_options(asked, scenario).window_tokens
    kept = list(asked.messages)
    while replies.prompt_tokens(kept, scenario.density) > window:
        others = [index for index, message in enumerate(kept[:-1]) if message["role"] != "system"]
        if not others:
            break
        del kept[others[0]]
    return replace(asked, messages=tuple(kept))


def prompt_tokens(asked: ModelRequest, scenario: Scenario) -> int:
    """The `prompt_eval_count`: of the whole prompt, or of what is left after a cut by tokens.

    Raises Refused if the prompt does not fit and may not be cut.
    """
    tokens = replies.prompt_tokens(asked.messages, scenario.density, scenario.image_tokens)
    if scenario.refusal == "overflow-400":
        raise refusals.overflow(tokens, max(1, tokens // 2))
    window = wanted_options(asked, scenario).window_tokens
    if tokens < window:
        return tokens
    if scenario.ignores_truncate or (asked.truncate and asked.shift and not scenario.is_native):
        return _half(asked, window)
    if scenario.is_old:
        raise refusals.overflow_of_old()
    if scenario.is_native or not asked.truncate:
        raise refusals.overflow(tokens, window)
    raise refusals.overflow_of_rendered()


def room_tokens(asked: ModelRequest, scenario: Scenario, prompt_tokens: int) -> int:
    """The longest reply: num_predict and, without `shift`, the rest of the window; 0: no limit."""
    window = wanted_options(asked, scenario).window_tokens
    limit = integer(asked.options, "num_predict") or 0
    limit = limit if 0 < limit <= 10 * window else 10 * window
    return limit if asked.shift else min(limit, max(1, window - prompt_tokens))


def _half(asked: ModelRequest, window: int) -> int:
    """What the rendered path keeps of a prompt that it cuts by tokens: both of its ends."""
    keep = integer(asked.options, "num_keep")
    keep = (_NUM_KEEP if keep is None else keep) + 1  # and the token that begins every text
    return window - max(0, window - keep) // 2
