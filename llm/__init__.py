"""Ollama: requests, streams, errors. Knows nothing of Celery, Redis or agents.

`LLMService` is the synchronous service, `OllamaClient` the asynchronous client of one server,
`Fleet` that of several; all send a `ChatRequest`, read `Delta`s and one `Final`, and raise nothing
but an `LLMError`.
"""

from llm.budget import UNLIMITED, Fit, History, Precedent, Room, estimated, fit, turn_starts
from llm.capabilities import Ability, Capabilities
from llm.client import OllamaClient
from llm.errors import (
    AccessDeniedError,
    ContextOverflowError,
    FirstTokenTimeoutError,
    FormatMismatchError,
    IdleTimeoutError,
    InvalidReplyError,
    InvalidRequestError,
    LLMError,
    LLMTimeoutError,
    ModelNotFoundError,
    OllamaBusyError,
    OllamaFailedError,
    OllamaUnreachableError,
    PermanentLLMError,
    QuotaExceededError,
    RequestRejectedError,
    ResponseTooLargeError,
    RetryableLLMError,
    StreamCutError,
    TotalTimeoutError,
    UnsupportedError,
)
from llm.fleet import Fleet
from llm.gate import Gate
from llm.gauge import Gauge
from llm.models import Loaded, full_name, is_installed
from llm.records import Delta, Final, Reply, ToolCall
from llm.requests import ChatRequest, Message, check_model_name
from llm.service import LLMService
from llm.settings import LLMSettings
from llm.singleton import get_llm_service
from llm.timeouts import Timeouts

__all__ = [
    "UNLIMITED",
    "Ability",
    "AccessDeniedError",
    "Capabilities",
    "ChatRequest",
    "ContextOverflowError",
    "Delta",
    "Final",
    "FirstTokenTimeoutError",
    "Fit",
    "Fleet",
    "FormatMismatchError",
    "Gate",
    "Gauge",
    "History",
    "IdleTimeoutError",
    "InvalidReplyError",
    "InvalidRequestError",
    "LLMError",
    "LLMService",
    "LLMSettings",
    "LLMTimeoutError",
    "Loaded",
    "Message",
    "ModelNotFoundError",
    "OllamaBusyError",
    "OllamaClient",
    "OllamaFailedError",
    "OllamaUnreachableError",
    "PermanentLLMError",
    "Precedent",
    "QuotaExceededError",
    "Reply",
    "RequestRejectedError",
    "ResponseTooLargeError",
    "RetryableLLMError",
    "Room",
    "StreamCutError",
    "Timeouts",
    "ToolCall",
    "TotalTimeoutError",
    "UnsupportedError",
    "check_model_name",
    "estimated",
    "fit",
    "full_name",
    "get_llm_service",
    "is_installed",
    "turn_starts",
]
