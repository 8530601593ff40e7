"""What OpenTelemetry's own variables ask of spans."""

import os

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable of OpenTelemetry's conventions that has spans hold what was said."""
_CAPTURES = frozenset({"true", "span_only", "span_and_event"})


def captures_content() -> bool:
    """Whether spans are to hold what was said."""
    return os.environ.get(CONTENT, "").strip().lower() in _CAPTURES
