"""Ollama: requests, streams, errors. Knows nothing of Celery, Redis or agents.

`LLMService` is the synchronous service, `OllamaClient` the asynchronous client of one server,
`Fleet` that of several; all send a `ChatRequest`, read `Delta`s and one `Final`, and raise nothing
but an `LLMError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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
from llm.settings import PARALLEL, LLMSettings
from llm.wire.embed import Embedded, EmbedRequest
from llm.wire.models import Loaded, full_name, is_cloud, is_installed, is_same
from llm.wire.records import Delta, Final, ModelReply, ToolCall, joined, merged
from llm.wire.requests import ChatRequest, Message, check_model_name
from llm.wire.timeouts import Timeouts

if TYPE_CHECKING:
    from llm.context.budget import UNLIMITED, Fit, History, Precedent, TokenBudget, fit, turn_starts
    from llm.context.estimate import estimated
    from llm.context.limits import ContextLimits
    from llm.factory import get_llm_service, reset_llm_service
    from llm.http.capabilities import Ability, Capabilities
    from llm.http.catalog import ModelCatalog
    from llm.http.client import OllamaClient
    from llm.servers.embedding import embed
    from llm.servers.failover import HeldSlot
    from llm.servers.fleet import Fleet
    from llm.servers.watchdog import SharedAnswers
    from llm.service import LLMService

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
    "merged",
    "reset_llm_service",
    "turn_starts",
]

_BY_NEED = {
    "Ability": "llm.http.capabilities",
    "Capabilities": "llm.http.capabilities",
    "ContextLimits": "llm.context.limits",
    "Fit": "llm.context.budget",
    "Fleet": "llm.servers.fleet",
    "HeldSlot": "llm.servers.failover",
    "History": "llm.context.budget",
    "LLMService": "llm.service",
    "ModelCatalog": "llm.http.catalog",
    "OllamaClient": "llm.http.client",
    "Precedent": "llm.context.budget",
    "SharedAnswers": "llm.servers.watchdog",
    "TokenBudget": "llm.context.budget",
    "UNLIMITED": "llm.context.budget",
    "embed": "llm.servers.embedding",
    "estimated": "llm.context.estimate",
    "fit": "llm.context.budget",
    "get_llm_service": "llm.factory",
    "reset_llm_service": "llm.factory",
    "turn_starts": "llm.context.budget",
}
"""What asks models, and what fits a prompt: no producer does, and both take long to load."""


if not TYPE_CHECKING:  # for mypy every name would be there

    def __getattr__(name: str) -> object:
        """Load what a process asks for, and nothing besides."""
        if name not in _BY_NEED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_BY_NEED[name]), name)
        return found
