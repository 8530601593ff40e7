"""What clients are told of errors."""

import pytest

from gateway.errors import body_of
from memory import MemoryUnavailable
from tasks import MemoryFull, NotAccepted


@pytest.mark.parametrize("kind", [MemoryUnavailable, MemoryFull, NotAccepted])
def test_no_client_is_told_where_the_servers_are(
    kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """Before a key is checked, anybody may read this; operators find it in the log."""
    body = body_of(kind("Redis at 10.0.0.5:6379, db 0 cannot be reached"))
    assert "10.0.0.5" not in str(body)
    assert body["error"]["code"]
    assert "10.0.0.5" in caplog.text
