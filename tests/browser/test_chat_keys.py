"""The page /chat where API keys are needed: it asks for one, keeps it for the tab, tells no one."""

from collections.abc import Iterator

import pytest

from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey, Scope
from sandbox.stack import GriotStack
from tests.support.tab import WAIT_S, Driver, Tab
from tests.support.waiting import wait_until


def key(name: str, *scopes: Scope) -> str:
    """A new API key."""
    made, token = ApiKey.new(name=name, owner=name, scopes=scopes or USUAL, agents=None)
    memory = get_redis_memory()
    memory.connection.run(api_keys.save(memory.keyspace, made))
    return token


@pytest.fixture(scope="module")
def gateway(driver: Driver, stack: GriotStack) -> str:
    """A gateway that needs keys, as behind a proxy. Nobody answers: there is no worker."""
    assert driver
    key("first")  # without any it does not start
    return stack.gateway(GATEWAY_PROXIES="127.0.0.1", GATEWAY_HOSTS="*")[1]


@pytest.fixture
def fresh(driver: Driver, gateway: str) -> Iterator[str]:
    """The address of the page, for a tab that has no key."""
    first = driver.current_window_handle
    yield f"{gateway}/chat"
    driver.close()
    driver.switch_to.window(first)


def test_a_wrong_key_is_said_clearly_and_the_right_one_opens(driver: Driver, fresh: str) -> None:
    """Nothing is shown before. The key stays in the tab: not in the address, not in a cookie, and
    not in what other tabs can read; a reload asks for none."""
    tab = Tab(driver, fresh, key="griot_0000_wrong", waits=False)
    wait_until(
        lambda: "Nobody has this key" in "".join(tab.texts("#key-wrong")),
        timeout_s=WAIT_S,
        what="the word",
    )
    right = key("ama")
    tab.give_key(right)
    tab.until_live()
    tab.reload()
    tab.until_live()
    assert not tab.has("#key-dialog")
    kept = "return [location.href, document.cookie, JSON.stringify(localStorage)].join()"
    assert right not in str(tab.run(kept))
    tab.click("#forget-key")
    wait_until(lambda: tab.has("#key-dialog[open]"), timeout_s=WAIT_S, what="the question again")


def test_a_key_that_may_do_too_little_is_told_so(driver: Driver, fresh: str) -> None:
    """With the scope that it lacks."""
    tab = Tab(driver, fresh, key=key("narrow", Scope.AGENTS), waits=False)
    wait_until(lambda: "lacks the scope 'read'" in tab.link(), timeout_s=WAIT_S, what="the reason")


def test_a_key_shows_its_owner_s_conversations_only(driver: Driver, fresh: str) -> None:
    """The link of another owner's conversation leads to an empty one of one's own."""
    session = "shared-name"
    get_redis_memory().append_to_history(
        "default", f"ama~{session}", {"role": "user", "content": "a wondrous word"}, ttl=600
    )
    tab = Tab(driver, f"{fresh}#default/{session}", key=key("kofi"))
    wait_until(lambda: tab.is_visible("empty"), timeout_s=WAIT_S, what="an empty page")
    assert "wondrous" not in str(tab.run("return document.body.textContent"))
