"""Why an answer failed, as strangers may read it. Pure.

A job's own reason is for operators: it names servers, their addresses and settings. It lies in the
worker's log and with the dead letter, under the response's id. Of it only the kind is told here.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from tasks.job.failure_code import FailureCode


class Failure(NamedTuple):
    """What is said of a response that failed; the codes are among OpenAI's."""

    code: str
    message: str


UNKNOWN = Failure("server_error", "The model could not answer; the operator's log says why.")
_BY_CODE: Mapping[str, Failure] = {
    FailureCode.CONTEXT_OVERFLOW: Failure(
        "invalid_prompt", "The message does not fit the model's context window."
    ),
    FailureCode.NO_TOOLS: Failure("invalid_prompt", "The model cannot call tools."),
    FailureCode.UNSUPPORTED: Failure(
        "invalid_prompt", "The model cannot do what the request asks for: see, or think."
    ),
    FailureCode.FORMAT_MISMATCH: Failure(
        "server_error", "The model's reply had not the form that was asked for."
    ),
    FailureCode.FORMAT_CUT_SHORT: Failure(
        "server_error",
        "The reply had no room left before it had the form that was asked for: allow more tokens.",
    ),
    FailureCode.FORMAT_TOO_DEAR: Failure(
        "invalid_prompt", "Whether a reply has the form that was asked for takes too long to see."
    ),
    FailureCode.UNKNOWN_TOOL: Failure("invalid_prompt", "The agent has no such tool."),
    FailureCode.FUNCTION_CLASH: Failure(
        "invalid_prompt", "A function has the name of one of the agent's own tools."
    ),
    FailureCode.QUESTION_GONE: Failure(
        "invalid_prompt", "The question that the results belong to is not kept any more."
    ),
    FailureCode.EXPIRED: Failure(
        "server_error", "The answer was not begun by the time that the request says."
    ),
    FailureCode.TIMEOUT: Failure(
        "server_error", "The answer took longer than the request, or its agent, allows."
    ),
}
_NO_ANSWER = Failure("server_error", "The answer was begun too often and never came to its end.")
# Of what was written before 2026-11-26, and of what Lua writes, which has no code.
_BY_WORDS: Mapping[str, Failure] = {
    r"the model's window\b": _BY_CODE[FailureCode.CONTEXT_OVERFLOW],
    r"^model '.*' does not support tools": _BY_CODE[FailureCode.NO_TOOLS],
    r"^model '.*' does not support \w+": _BY_CODE[FailureCode.UNSUPPORTED],
    r"^the reply (is not JSON|does not match the schema)": _BY_CODE[FailureCode.FORMAT_MISMATCH],
    r"^checking the reply against the schema": _BY_CODE[FailureCode.FORMAT_TOO_DEAR],
    r"^tools: agent .* has no tool": _BY_CODE[FailureCode.UNKNOWN_TOOL],
    r"^functions: the agent has a tool": _BY_CODE[FailureCode.FUNCTION_CLASH],
    r"^the question that the results of functions": _BY_CODE[FailureCode.QUESTION_GONE],
    r"^no answer after \d+ attempts": _NO_ANSWER,
}


def failure_for(data: Mapping[str, object]) -> Failure:
    """What is told of a job's end, by the data of its last event."""
    code, said = data.get("code"), data.get("error")
    if isinstance(code, str):
        return _BY_CODE.get(code, UNKNOWN)
    said = said if isinstance(said, str) else ""
    return next((told for words, told in _BY_WORDS.items() if re.search(words, said)), UNKNOWN)
