"""What opens a gateway: headers and a bearer token, from the settings."""

import traceback

import pytest
from pydantic import ValidationError

from llm import LLMSettings
from llm.wire.headers import read_headers

SECRET = "s3cret-of-the-test"  # noqa: S105  # of this test alone


def test_headers_and_key_become_headers() -> None:
    """Blanks and empty parts mean nothing; a value may have an equals sign."""
    assert read_headers(" X-A = 1 ,, X-B=c=d ", " k ") == {
        "X-A": "1",
        "X-B": "c=d",
        "Authorization": "Bearer k",
    }
    assert read_headers("", "") == {}


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ("X-A", ""),
        ("X A=1", ""),
        ("=1", ""),
        (f"X-A={SECRET}\r\nX-B: 1", ""),
        (f"X-A={SECRET}é", ""),
        (f"Host={SECRET}", ""),
        ("Content-Length=1", ""),
        (f"X-A={SECRET}, x-a=2", ""),
        ("", f"{SECRET} x"),
        ("", f"{SECRET}\nX-B: 1"),
        (f"authorization={SECRET}", SECRET),
    ],
)
def test_what_is_no_header_is_refused_and_not_repeated(headers: str, key: str) -> None:
    """Each value may be a secret; and none can bring a header of its own."""
    with pytest.raises(ValueError, match="OLLAMA_") as caught:
        read_headers(headers, key)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ValidationError) as wrong:
        LLMSettings(extra_headers=headers, api_key=key)  # type: ignore[arg-type]  # as the environment
    assert SECRET not in str(wrong.value)


def test_no_repr_of_the_settings_shows_them() -> None:
    """They are written to logs by those who look for a mistake."""
    settings = LLMSettings(extra_headers=f"X-Key={SECRET}", api_key=SECRET)  # type: ignore[arg-type]  # as the environment
    assert SECRET in str(settings.headers)
    assert SECRET not in f"{settings!r} {settings}"
