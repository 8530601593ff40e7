"""How large the last event of a job may be, of which its result is made."""

import pytest

from memory import Event, EventType, InvalidInput
from memory.encryption.keyring import NO_KEYS, Cipher
from memory.records.event import packed
from tasks.end.outcome import check_size


def test_a_result_has_so_many_bytes_and_no_more() -> None:
    """To the byte, its text and what surrounds it; the error names the setting."""
    last = Event(EventType.DONE, "job", 0, "hello", data={"note": "x" * 100})
    size_bytes = len(packed(last, Cipher(NO_KEYS, "")))
    check_size(last, size_bytes)
    with pytest.raises(InvalidInput, match=rf"{size_bytes - 1} \(CHAT_MAX_RESULT_BYTES\)"):
        check_size(last, size_bytes - 1)
