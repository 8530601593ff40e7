"""Who asks, what they may do, and which sessions are theirs.

A client sends an API key (`Authorization: Bearer griot_…`). Sessions belong to the key's owner:
what a client calls conversation `c` is Griot's session `owner~c`, so nobody can name a session of
somebody else. Without any keys, on loopback, there is one owner without a name, whose conversations
are Griot's sessions as they are.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request

from gateway.errors import ApiError
from gateway.services import Gateway
from memory.quotas.owners import UNBOUNDED, Quota, key_quota
from memory.records import api_keys
from memory.records.api_keys import ApiKey, Scope
from tasks.job.sender import Sender

OWNED = "~"
_WHO = {"WWW-Authenticate": "Bearer"}
UNKNOWN_KEY = "Incorrect API key provided. Send a key of `griot keys create` as Bearer token."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. `owner` is "" where no keys are needed, `agents` None for all. `quota`
    bounds the jobs of all who have a key of this name; `webhook` is told how each response has
    ended whose request names no other."""

    name: str
    owner: str
    scopes: frozenset[Scope]
    agents: frozenset[str] | None
    quota: Quota = UNBOUNDED
    webhook: str | None = None
    request_id: str = ""

    @classmethod
    def of(cls, key: ApiKey) -> "Caller":
        """The holder of an API key. Raises CorruptData where its quota is none."""
        among = None if key.agents is None else frozenset(key.agents)
        quota = key_quota(key.quota)
        return cls(key.name, key.owner, frozenset(key.scopes), among, quota, key.webhook)

    @property
    def sender(self) -> Sender:
        """How a job says who has sent it, and with which request."""
        return Sender(request_id=self.request_id, key=self.name, quota=self.quota)

    def session(self, conversation: str) -> str:
        """Griot's session of what this caller calls a conversation."""
        return f"{self.owner}{OWNED}{conversation}" if self.owner else conversation

    def conversation(self, session_id: str) -> str | None:
        """What this caller calls a session of Griot; None for one that is not theirs."""
        begin = f"{self.owner}{OWNED}" if self.owner else ""
        return session_id.removeprefix(begin) if session_id.startswith(begin) else None

    def may_use(self, agent_id: str) -> bool:
        """Whether this caller may use an agent."""
        return self.agents is None or agent_id in self.agents

    def check_agent(self, agent_id: str) -> None:
        """Raise ApiError for an agent that this caller may not use."""
        if not self.may_use(agent_id):
            raise ApiError(403, f"This key may not use the agent {agent_id!r}.", code="forbidden")


LOCAL = Caller("local", "", frozenset(Scope), None)
"""Everybody on this machine, where there are no keys."""


async def caller_of(gateway: Gateway, authorization: str) -> Caller:
    """Who sends a header. Raises ApiError 401 where nobody has that key."""
    scheme, _, token = authorization.partition(" ")
    parts = api_keys.split(token.strip()) if scheme.lower() == "bearer" else None
    if parts is not None:
        key = await gateway.memory.run(api_keys.find(gateway.keyspace, parts[0]))
        if key is not None and key.is_opened_by(parts[1]):
            return Caller.of(key)
    # Whoever sends a key of ours is let in by it alone: else the last one would open everything
    # from the moment it is revoked.
    elif gateway.settings.may_be_open and not await _is_closed(gateway):
        return LOCAL
    raise ApiError(401, UNKNOWN_KEY, code="invalid_api_key", headers=_WHO)


async def _is_closed(gateway: Gateway) -> bool:
    # Asked each time: the first key that is made closes the door at once.
    return await gateway.memory.run(api_keys.is_closed(gateway.keyspace))


def gateway_of(request: Request) -> Gateway:
    """What the requests of this process share."""
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _shared(request: Request) -> Gateway:
    return gateway_of(request)  # without `async` FastAPI would call it in a thread


Shared = Annotated[Gateway, Depends(_shared)]


def _with(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    async def check(request: Request) -> Caller:
        # Not as a dependency of its own: FastAPI's way to it cost as much as a trip to Redis.
        found = await caller_of(gateway_of(request), request.headers.get("authorization", ""))
        request.state.caller = found.name
        caller = replace(found, request_id=getattr(request.state, "request_id", ""))
        if scope not in caller.scopes:
            raise ApiError(403, f"This key lacks the scope {scope.value!r}.", code="forbidden")
        return caller

    return check


Looker = Annotated[Caller, Depends(_with(Scope.AGENTS))]
Reader = Annotated[Caller, Depends(_with(Scope.READ))]
writer = _with(Scope.WRITE)
Writer = Annotated[Caller, Depends(writer)]
Operator = Annotated[Caller, Depends(_with(Scope.OPERATE))]
Eraser = Annotated[Caller, Depends(_with(Scope.ERASE))]
