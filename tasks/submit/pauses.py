"""Pausing and resuming: what an operator does before work on a model server, or when an agent errs.

    from tasks import pause, resume

    pause("agent", "energy", reason="wrong prices", for_s=600)
    resume("agent", "energy")

Jobs of what is paused are taken in and wait, with no attempt counted; those that run go on. Workers
see to it within about a second.
"""

import logging
from typing import Literal, TypeAlias

from llm import full_name
from llm.wire.address import check_base_url, label_of
from memory import InvalidInput, MemoryServiceError, audit, events
from memory.ids import encode_id
from memory.pauses import pauses
from memory.pauses.pauses import ANNOUNCED_AS, MAX_PAUSES, Pause, PauseKind, PauseTarget
from memory.records.audit import Deed
from memory.records.index import server_time_ms
from tasks.errors import LimitReached
from tasks.job.due_time import finite
from tasks.process.services import ProducerServices, producer_services

PauseKindName: TypeAlias = Literal["agent", "model", "server", "all"]

logger = logging.getLogger(__name__)


def pause(
    kind: PauseKindName, name: str = "", *, reason: str = "", for_s: float | None = None
) -> Pause:
    """Have jobs wait: of an agent, a model (by its name, in any spelling), a model server (its
    address, as OLLAMA_BASE_URLS has it), or all, which takes no name.

    `reason` is shown to operators and to those who wait; `for_s` is when it ends by itself, by
    Redis' clock, else `resume` ends it. A paused server gets no new calls while another may have
    the model; jobs wait only where every one is paused or away. Paused again, it gets the new
    reason and end. Safe to repeat. It is in the audit. Raises memory.InvalidInput for what cannot
    be paused, LimitReached for more than 1000 pauses, and memory.MemoryServiceError.
    """
    services, target = producer_services(), _target(kind, name)
    command = pauses.pause(services.keyspace, target, reason, for_ms=_for_ms(for_s))
    with _recorded(services, Deed.PAUSE, target) as entry:
        made = services.memory.run(command)
        if made is None:
            raise LimitReached(f"{MAX_PAUSES} pauses are in force: end some of them first")
        entry.outcome = f"paused: {_shown(target)}"
    _announce(services)
    return made


def resume(kind: PauseKindName, name: str = "") -> bool:
    """End a pause; False: there was none. Sessions that wait are woken in the order of their jobs,
    a growing batch each second. Safe to repeat; errors as `pause`."""
    services, target = producer_services(), _target(kind, name, is_known=False)
    was_paused = any(one.target == target for one in paused())
    with _recorded(services, Deed.RESUME, target) as entry:
        services.memory.run(pauses.resume(services.keyspace, target))
        entry.outcome = f"{'resumed' if was_paused else 'was not paused'}: {_shown(target)}"
    _announce(services)
    return was_paused


def paused() -> list[Pause]:
    """What is paused now, the oldest pause first. Raises memory.MemoryServiceError."""
    services = producer_services()
    now_ms, found = services.memory.run_all(server_time_ms(), pauses.every(services.keyspace))
    return [one for one in found if not one.is_over(now_ms)]


def _for_ms(for_s: float | None) -> int:
    if for_s is None:
        return 0
    length_s = finite(for_s)
    if length_s is None or round(length_s * 1000) <= 0:
        raise InvalidInput("a pause that ends by itself lasts a number of seconds over 0")
    return round(length_s * 1000)


def _target(kind: PauseKindName, name: str, *, is_known: bool = True) -> PauseTarget:
    """`is_known`: whether a server must be one of ours."""
    try:
        chosen = PauseKind(kind)
    except ValueError:
        raise InvalidInput("only an agent, a model, a server or all can be paused") from None
    match chosen if name else PauseKind.ALL:
        case PauseKind.AGENT:
            encode_id(name, what="agent_id")
        case PauseKind.MODEL:
            name = full_name(name)
        case PauseKind.SERVER:
            name = _server(name, is_known=is_known)
    return PauseTarget(chosen, name)


def _server(name: str, *, is_known: bool) -> str:
    servers = producer_services().settings.llm.servers
    try:
        url = check_base_url(name)
    except ValueError as exc:
        raise InvalidInput(f"the address of a server {exc}") from None
    if is_known and url not in servers:
        raise InvalidInput(
            f"{label_of(url)} is no server of OLLAMA_BASE_URLS, which has {', '.join(servers)}"
        )
    return url


def _shown(target: PauseTarget) -> str:
    # The agent's id has its own place in the audit.
    return target.kind.value if target.kind is PauseKind.AGENT else str(target)


def _recorded(services: ProducerServices, deed: Deed, target: PauseTarget) -> audit.Recording:
    agent_id = target.name if target.kind is PauseKind.AGENT else ""
    return audit.recorded(services.memory, services.keyspace, deed, agent_id=agent_id)


def _announce(services: ProducerServices) -> None:
    try:
        services.memory.run(events.announce_stop(services.keyspace, ANNOUNCED_AS))
    except MemoryServiceError as exc:
        logger.warning(
            "the pauses have changed, but that cannot be announced; workers see it with their next "
            "sweep: %s",
            exc,
        )
