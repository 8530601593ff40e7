"""The nodes of a cluster that this process has seen. Each of them can name the others, so each is a
seed for the next client: the node that REDIS_URL names may be gone."""

from collections.abc import Iterable

Node = tuple[str, int]
"""Host and port."""

_seen: dict[str, tuple[Node, ...]] = {}


def note_nodes(label: str, nodes: Iterable[Node]) -> None:
    """The nodes of the cluster of this label, in place of those known before; from any thread."""
    _seen[label] = tuple(nodes)


def seen_nodes(label: str) -> tuple[Node, ...]:
    """The nodes that were noted last; none before a client has been connected."""
    return _seen.get(label, ())
