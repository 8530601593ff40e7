"""The examples in this process know the users of the tests."""

from collections.abc import Iterator

import pytest

from examples.settings import tokens
from tests.support.web_users import WEB_USERS


@pytest.fixture(scope="session", autouse=True)
def web_users() -> Iterator[None]:
    """Two users with a token each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEB_USERS", WEB_USERS)
        tokens.cache_clear()
        yield
    tokens.cache_clear()
