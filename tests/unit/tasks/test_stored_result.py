"""A result that is stored encrypted is read by who has the key, and says whose it is."""

import json

import pytest

from memory import CannotDecrypt, Keyspace
from tasks.end.stored_result import decrypted_result, encrypted_result
from tasks.job.result import ChatResult, merged_result, result_from_reply
from tests.support.encryption import CANARY, keyspace_of

KEYSPACE = keyspace_of("ecowas", "k1")
KEYS = KEYSPACE.session("energy", "s")


def result() -> ChatResult:
    """A result with a reply."""
    found = result_from_reply("job", "energy", "s", ())
    found["response"] = CANARY
    return found


def test_an_encrypted_result_comes_back_as_it_was() -> None:
    """In between it has no word, and names job and session."""
    stored = json.loads(json.dumps(encrypted_result(KEYS, result())))
    assert CANARY not in str(stored)
    assert (stored["job_id"], stored["agent_id"], stored["session_id"]) == ("job", "energy", "s")
    assert decrypted_result(KEYSPACE, stored) == result()


@pytest.mark.parametrize("name", ["job_id", "session_id"])
def test_a_result_of_another_job_does_not_decrypt(name: str) -> None:
    """Nor one of another session."""
    stored = {**encrypted_result(KEYS, result()), name: "other"}
    with pytest.raises(CannotDecrypt):
        decrypted_result(KEYSPACE, stored)


def test_other_results_stay_as_they_are() -> None:
    """Without a key; of a merged job, which says who has the reply; and those of other tasks."""
    plain = Keyspace().session("energy", "s")
    assert encrypted_result(plain, result()) == result()
    merged = merged_result("job", "energy", "s", "into")
    assert encrypted_result(KEYS, merged) == merged
    for found in (result(), merged, None, 3, {"encrypted": 1}, {"encrypted": "x"}):
        assert decrypted_result(KEYSPACE, found) == found
