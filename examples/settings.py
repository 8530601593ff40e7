"""The settings of the web example, from the environment and `.env`."""

import re
import secrets
import sys
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks import app as celery

LEAST_TOKEN = 16
# No `~` in a user: it stands before their session (access.py). Tokens are as in RFC 6750.
_USER = re.compile(r"(?P<user>[A-Za-z0-9][A-Za-z0-9._-]{0,63})=(?P<token>[A-Za-z0-9._~+/=-]+)")


def _check_users(given: SecretStr) -> SecretStr:
    users_in(given)
    return given


class WebSettings(BaseSettings):
    """Who may use the example, and under which names it is reached."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    users: Annotated[SecretStr, AfterValidator(_check_users)] = Field(
        default=SecretStr(""),
        validation_alias="WEB_USERS",
        description="user=token,…; empty: a user `me` whose token is printed at the start",
    )
    hosts: str = Field(
        default="localhost,127.0.0.1,[::1]",
        validation_alias="WEB_HOSTS",
        description="Host names in the addresses under which it is reached, separated by commas",
    )


def web_settings() -> WebSettings:
    """The settings. Those of Griot come first: a `.env` that cannot be read is named then."""
    celery.conf.get("broker_url")
    return WebSettings()


def users_in(given: SecretStr) -> dict[str, str]:
    """The token of each user. Raises ValueError, which quotes none of them."""
    users: dict[str, str] = {}
    for part in filter(None, given.get_secret_value().split(",")):
        found = _USER.fullmatch(part.strip())
        if found is None or len(found["token"]) < LEAST_TOKEN or found["user"] in users:
            raise ValueError(
                f"must be user=token,user=token,… with a token of {LEAST_TOKEN} characters or more"
            )
        users[found["user"]] = found["token"]
    return users


@cache
def tokens() -> dict[str, str]:
    """The token of each user, for this process."""
    known = users_in(web_settings().users)
    if not known:
        known = {"me": secrets.token_urlsafe(24)}
        print(f"Sign in with this token: {known['me']} (or set WEB_USERS)", file=sys.stderr)
    return known
