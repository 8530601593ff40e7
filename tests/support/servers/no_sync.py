"""A Valkey that keeps what it acknowledged, on a machine that lives on."""

NO_SYNC = {"appendfsync": "no"}
"""Options of a server with an append-only file that is killed while its machine lives on: what it
has written before it answers is kept by the system. To have the disk confirm each took more of a
core than the rest of its work."""
