"""Ollama: requests, streams, errors. Knows nothing of Celery, Redis or agents.

`LLMService` is the synchronous service, `OllamaClient` the asynchronous client of one server,
`Fleet` that of several; all send a `ChatRequest`, read `Delta`s and one `Final`, and raise nothing
but an `LLMError`.
"""

from llm.context.budget import (
    UNLIMITED,
    Fit,
    History,
    Precedent,
    TokenBudget,
    fit,
    turn_starts,
)
from llm.context.estimate import estimated
from llm.context.limits import ContextLimits
from llm.errors import (
    AccessDeniedError,
    ContextOverflowError,
    FirstTokenTimeoutError,
    FormatCutShortError,
    FormatMismatchError,
    FormatTooDearError,
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
    RepetitionError,
    RequestRejectedError,
    ResponseTooLargeError,
    RetryableLLMError,
    StreamCutError,
    TotalTimeoutError,
    UnsupportedError,
)
from llm.factory import get_llm_service, reset_llm_service
from llm.http.capabilities import Ability, Capabilities
from llm.http.catalog import ModelCatalog
from llm.http.client import OllamaClient
from llm.servers.embedding import embed
from llm.servers.failover import HeldSlot
from llm.servers.fleet import Fleet
from llm.servers.watchdog import SharedAnswers
from llm.service import LLMService
from llm.settings import PARALLEL, LLMSettings
from llm.wire.embed import Embedded, EmbedRequest
from llm.wire.models import Loaded, full_name, is_cloud, is_installed, is_same
from llm.wire.records import Delta, Final, ModelReply, ToolCall, joined
from llm.wire.requests import ChatRequest, Message, check_model_name
from llm.wire.timeouts import Timeouts

__all__ = [
    "PARALLEL",
    "UNLIMITED",
    "Ability",
    "AccessDeniedError",
    "Capabilities",
    "ChatRequest",
    "ContextLimits",
    "ContextOverflowError",
    "Delta",
    "EmbedRequest",
    "Embedded",
    "Final",
    "FirstTokenTimeoutError",
    "Fit",
    "Fleet",
    "FormatCutShortError",
    "FormatMismatchError",
    "FormatTooDearError",
    "HeldSlot",
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
    "ModelCatalog",
    "ModelNotFoundError",
    "ModelReply",
    "OllamaBusyError",
    "OllamaClient",
    "OllamaFailedError",
    "OllamaUnreachableError",
    "PermanentLLMError",
    "Precedent",
    "QuotaExceededError",
    "RepetitionError",
    "RequestRejectedError",
    "ResponseTooLargeError",
    "RetryableLLMError",
    "SharedAnswers",
    "StreamCutError",
    "Timeouts",
    "TokenBudget",
    "ToolCall",
    "TotalTimeoutError",
    "UnsupportedError",
    "check_model_name",
    "embed",
    "estimated",
    "fit",
    "full_name",
    "get_llm_service",
    "is_cloud",
    "is_installed",
    "is_same",
    "joined",
    "reset_llm_service",
    "turn_starts",
]
