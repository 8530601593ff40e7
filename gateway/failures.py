"""Why an answer failed, as strangers may read it. Pure.

A job's own reason is for operators: it names servers, their addresses and settings. It lies in the
worker's log and with the dead letter, under the response's id. Of it only the kind is told here.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Failure(NamedTuple):
    """What is said of a response that failed; the codes are among OpenAI's."""

    code: str
    message: str


UNKNOWN = Failure("server_error", "The model could not answer; the operator's log says why.")
_KINDS: Mapping[str, Failure] = {
    r"the model's window\b": Failure(
        "invalid_prompt", "The message does not fit the model's context window."
    ),
    r"^model '.*' does not support tools": Failure(
        "invalid_prompt", "The model cannot call tools."
    ),
    r"^model '.*' does not support \w+": Failure(
        "invalid_prompt", "The model cannot do what the request asks for: see, or think."
    ),
    r"^the reply (is not JSON|does not match the schema)": Failure(
        "server_error", "The model's reply had not the form that was asked for."
    ),
    r"^checking the reply against the schema": Failure(
        "invalid_prompt", "Whether a reply has the form that was asked for takes too long to see."
    ),
    r"^tools: agent .* has no tool": Failure("invalid_prompt", "The agent has no such tool."),
    r"^functions: the agent has a tool": Failure(
        "invalid_prompt", "A function has the name of one of the agent's own tools."
    ),
    r"^the question that the results of functions belong to": Failure(
        "invalid_prompt", "The question that the results belong to is not kept any more."
    ),
    r"^no answer after \d+ attempts": Failure(
        "server_error", "The answer was begun too often and never came to its end."
    ),
}


def failure_for(reason: object) -> Failure:
    """What is told of a job's reason."""
    said = reason if isinstance(reason, str) else ""
    return next((told for words, told in _KINDS.items() if re.search(words, said)), UNKNOWN)
