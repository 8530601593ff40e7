"""Who asks, and what is theirs.

A user is known by a token: `Authorization: Bearer …`. The session that a client names is a name
within what its user has: `web-1` of ama is the session `ama~web-1` of Griot. So nobody can name a
session of somebody else.
"""

import secrets
from typing import Annotated

from fastapi import Depends, Header, HTTPException

from examples.settings import tokens
from memory import InvalidInput, RedisMemoryService, get_redis_memory, locate

MARK = "~"


def user_of(token: str) -> str:
    """The user with a token. HTTPException 401 where nobody has it."""
    for user, known in tokens().items():
        if secrets.compare_digest(known.encode(), token.encode()):
            return user
    raise HTTPException(401, "sign in: no such token", {"WWW-Authenticate": "Bearer"})


def bearer_token(authorization: Annotated[str, Header()] = "") -> str:
    """The token of the request's header; empty where it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def signed_in(token: Annotated[str, Depends(bearer_token)]) -> str:
    """Who sends this request. HTTPException 401 where nobody says so."""
    return user_of(token)


User = Annotated[str, Depends(signed_in)]


Memory = Annotated[RedisMemoryService, Depends(get_redis_memory)]


def own_session(user: str, session_id: str) -> str:
    """The id for Griot of a session that its user calls `session_id`. Raises InvalidInput."""
    if not session_id:
        raise InvalidInput("session_id must not be empty")
    return f"{user}{MARK}{session_id}"


def check_own_job(memory: RedisMemoryService, user: str, job_id: str) -> None:
    """HTTPException 404 for a job that nobody knows, and the same for one of another user."""
    keys = memory.connection.run(locate(memory.keyspace, job_id))
    if keys is None or not keys.session_id.startswith(f"{user}{MARK}"):
        raise HTTPException(404, "no such job, or it is over a week old")
