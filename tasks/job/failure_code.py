"""What kind of failure ended a job, for programs: none must read the words of its reason. Pure."""

from enum import StrEnum

from llm.errors import (
    ContextOverflowError,
    FormatCutShortError,
    FormatMismatchError,
    FormatTooDearError,
    UnsupportedError,
)
from tasks.errors import InvalidJob


class FailureCode(StrEnum):
    """The kinds that whoever asked can do something about."""

    CONTEXT_OVERFLOW = "context_overflow"
    NO_TOOLS = "no_tools"
    """The model cannot call tools."""
    UNSUPPORTED = "unsupported"
    """The model cannot do something else that was asked for: see, or think."""
    FORMAT_MISMATCH = "format_mismatch"
    FORMAT_CUT_SHORT = "format_cut_short"
    FORMAT_TOO_DEAR = "format_too_dear"
    UNKNOWN_TOOL = "unknown_tool"
    FUNCTION_CLASH = "function_clash"
    """A function of the client has the name of one of the agent's own tools."""
    QUESTION_GONE = "question_gone"
    """The question that the results of functions belong to is not kept any more."""
    EXPIRED = "expired"
    """The job had not begun by the time that its `expires` says."""
    TIMEOUT = "timeout"
    """The job's turn ran for as long as `timeout_s` allows."""


class UnknownToolAsked(InvalidJob):
    """The job asks for a tool that its agent has not."""


class FunctionClash(InvalidJob):
    """A function of the client has the name of one of the agent's own tools."""


class QuestionGone(InvalidJob):
    """The job brings results of functions, and what they belong to is not kept any more."""


_CODES: tuple[tuple[type[Exception], FailureCode], ...] = (
    (ContextOverflowError, FailureCode.CONTEXT_OVERFLOW),
    (FormatMismatchError, FailureCode.FORMAT_MISMATCH),
    (FormatCutShortError, FailureCode.FORMAT_CUT_SHORT),
    (FormatTooDearError, FailureCode.FORMAT_TOO_DEAR),
    (UnknownToolAsked, FailureCode.UNKNOWN_TOOL),
    (FunctionClash, FailureCode.FUNCTION_CLASH),
    (QuestionGone, FailureCode.QUESTION_GONE),
)


def code_of(error: Exception) -> FailureCode | None:
    """The kind of an error that ends a job; None for one that is the operator's to mend."""
    if isinstance(error, UnsupportedError):
        return FailureCode.NO_TOOLS if error.ability == "tools" else FailureCode.UNSUPPORTED
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)
