"""API keys in Redis: what is kept of them, and what opens them."""

import json

import pytest

from memory.errors import CorruptData
from memory.quotas.owners import Quota, key_quota
from memory.records import api_keys
from memory.records.api_keys import ApiKey, Scope
from tests.support.memory_fixtures import Backend


def test_a_key_is_kept_without_its_secret(backend: Backend) -> None:
    """It is found by its id, opened by its secret alone, and gone when it is revoked."""
    keyspace, run = backend.service().keyspace, backend.connection.run
    key, token = ApiKey.new(name="shop", owner="ama", scopes=[Scope.READ], agents=["energy"])
    assert not run(api_keys.is_closed(keyspace))
    run(api_keys.save(keyspace, key))
    parts = api_keys.split(token)
    assert parts is not None
    key_id, secret = parts
    found = run(api_keys.find(keyspace, key_id))
    assert found == key
    assert found.is_opened_by(secret)
    assert not found.is_opened_by(secret[:-1])
    assert not found.is_opened_by("")
    stored = backend.observer.hgetall(keyspace.api_keys)
    assert secret not in repr(stored)
    assert secret not in repr(key)
    assert run(api_keys.every(keyspace)) == [key]
    assert run(api_keys.revoke(keyspace, key_id)) == 1
    assert run(api_keys.revoke(keyspace, key_id)) == 0
    assert run(api_keys.find(keyspace, key_id)) is None
    assert run(api_keys.is_closed(keyspace)), "who revokes the last key opens nothing"
    assert run(api_keys.find(keyspace, api_keys.CLOSED)) is None
    assert run(api_keys.every(keyspace)) == []
    assert run(api_keys.reopen(keyspace)) == 1
    assert not run(api_keys.is_closed(keyspace))


def test_a_key_has_a_quota(backend: Backend) -> None:
    """It is kept with it, and one that was made before there were any has none."""
    keyspace, run = backend.service().keyspace, backend.connection.run
    key, _ = ApiKey.new(
        name="shop", owner="ama", scopes=[Scope.READ], agents=None, quota={"jobs_per_minute": 7}
    )
    run(api_keys.save(keyspace, key))
    found = run(api_keys.find(keyspace, key.key_id))
    assert found is not None
    assert key_quota(found.quota) == Quota(jobs_per_minute=7)
    older = {name: one for name, one in json.loads(key.packed()).items() if name != "quota"}
    assert ApiKey.parsed(json.dumps(older).encode()).quota == {}
    with pytest.raises(CorruptData):
        key_quota({"jobs_per_minute": -1})


@pytest.mark.parametrize("token", ["", "griot", "griot_1", "griot__x", "other_1_x", "griot_1_"])
def test_what_is_no_key_is_told_from_one(token: str) -> None:
    """Before Redis is asked."""
    assert api_keys.split(token) is None


@pytest.mark.parametrize("stored", ["x", "{}", json.dumps({"key_id": 1}), "[]"])
def test_a_damaged_record_opens_nothing(backend: Backend, stored: str) -> None:
    """It is an error, and no key without bounds."""
    keyspace = backend.service().keyspace
    backend.observer.hset(keyspace.api_keys, "1", stored)
    with pytest.raises(CorruptData):
        backend.connection.run(api_keys.find(keyspace, "1"))
