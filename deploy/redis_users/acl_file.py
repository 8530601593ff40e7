"""The rules of Redis' ACL that let each role do what it does, and nothing else.

A selector, `(+command ~key)`, grants commands for the keys beside them only. So a user may pass a
key to a script whose content it cannot read: EVALSHA wants all rights to the keys that it is given,
and each command within it only those of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from deploy.redis_users import access, celery_keys
from deploy.redis_users.access import Use
from deploy.redis_users.role import Channel, Role
from deploy.redis_users.roles import CONNECTED, NARROW, ROLES
from memory.keys import DEFAULT_PREFIX

BROKER_DB = 1
EVERYTHING = frozenset({"*"})
"""Of a wide role: all keys of the memory."""
SPEAKING = ("publish",)
LISTENING = ("subscribe", "unsubscribe", "psubscribe", "punsubscribe")


def acl_file(
    prefix: str = DEFAULT_PREFIX,
    *,
    broker_db: int = BROKER_DB,
    queues: Iterable[str] = (),
    owner: str = "griot",
) -> str:
    """The lines of an ACL file: an administrator, `default`, and a user `<owner>-<role>` for each
    role.

    In the place of the hash of a password stands `#<role>`, and `#admin` for the administrator:
    `fill-users.sh` puts it in. `queues` are those that jobs name besides the deployment's own.
    """
    patterns = celery_keys.patterns(prefix, queues)
    lines = ["user default on #admin ~* &* +@all"]
    for role in ROLES:
        given = " ".join(rules(role, prefix, broker_db, patterns))
        lines.append(f"user {owner}-{role.name} on #{role.name} {given}")
    return "\n".join((*lines, ""))


def rules(
    role: Role, prefix: str, broker_db: int, patterns: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """The rules of one role: its channels, its commands without a key, its selectors."""
    yield "resetkeys resetchannels -@all"
    yield CONNECTED
    uses = _uses(role)
    alone = {use.command for use in uses if not use.kinds} | set(role.alone.split())
    yield from _granted(alone)
    for words, channels in ((LISTENING, role.hears), (SPEAKING, role.speaks)):
        if channels:
            names = _channels(channels, prefix, broker_db)
            yield f"({' '.join((*names, *_granted(words)))})"
    for commands, kinds in _selectors(role, uses):
        keys = sorted(key for kind in kinds for key in _patterns(kind, prefix, patterns))
        yield f"({' '.join((*(f'~{key}' for key in keys), *_granted(commands)))})"


def _uses(role: Role) -> set[Use]:
    """All that a role does."""
    uses = {
        use
        for name in role.scripts.split()
        for use in access.script_uses(name, role.indexes, role.due_lists)
    }
    for grants in role.grants:
        for kinds, commands in grants.items():
            uses |= {
                Use(one, frozenset({kind})) for one in commands.split() for kind in kinds.split()
            }
    for kinds, commands in role.together.items():
        uses |= {Use(one, frozenset(kinds.split())) for one in commands.split()}
    return uses


def _selectors(role: Role, uses: set[Use]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Commands and kinds of keys that belong together, as few pairs as say it exactly."""
    uses = {_widened(use) for use in uses} if role.is_wide else uses
    together: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    # One script's keys are a part of all scripts'; what it does with them is checked apart.
    passed = frozenset(kind for use in uses if _is_script_of_several(use) for kind in use.kinds)
    if passed:
        together[passed] |= access.RUN
    for use in uses:
        if len(use.kinds) > 1 and not _is_script_of_several(use):
            together[use.kinds].add(use.command)
    of_kind: defaultdict[str, set[str]] = defaultdict(set)
    for use in uses:
        if len(use.kinds) == 1 and not (use.command in access.RUN and use.kinds <= passed):
            of_kind[next(iter(use.kinds))].add(use.command)
    alike: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for kind, commands in of_kind.items():
        alike[frozenset(commands)].add(kind)
    pairs = [(commands, frozenset(kinds)) for commands, kinds in alike.items()]
    pairs += [(frozenset(commands), kinds) for kinds, commands in together.items()]
    return sorted(pairs, key=lambda pair: (-len(pair[1]), sorted(pair[1]), sorted(pair[0])))


def _is_script_of_several(use: Use) -> bool:
    return use.command in access.RUN and len(use.kinds) > 1


def _widened(use: Use) -> Use:
    is_wide = use.kinds <= access.key_kinds() and use.command not in NARROW
    return Use(use.command, EVERYTHING) if use.kinds and is_wide else use


def _patterns(kind: str, prefix: str, patterns: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if kind == "*":
        return (f"{prefix}:*",)
    return patterns.get(kind) or (access.pattern(kind, prefix),)


def _channels(channels: frozenset[Channel], prefix: str, broker_db: int) -> list[str]:
    named = {
        Channel.CONTROL: celery_keys.control(prefix, broker_db),
        Channel.EVENTS: celery_keys.events(prefix, broker_db),
        Channel.RESULTS: celery_keys.results(prefix),
    }
    return [f"&{name}" for channel, name in named.items() if channel in channels]


def _granted(commands: Iterable[str]) -> list[str]:
    return [f"+{command}" for command in sorted(commands)]
