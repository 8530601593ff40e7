"""What `sandbox.valkey` and `sandbox.cluster` promise about real servers."""

import socket
from pathlib import Path

import pytest

from sandbox.cluster import ValkeyCluster
from sandbox.errors import ReplyError, ServerDied
from sandbox.ports import FIRST_PORT, LAST_PORT, free_port
from sandbox.valkey import ValkeyServer

PASSWORD = 'p@ss "word"\\'  # noqa: S105 - of a server that lives for one test


def test_a_free_port_is_outside_the_range_of_outgoing_connections() -> None:
    """A client can never be given the port of a server that is down for a moment."""
    assert FIRST_PORT <= free_port() <= LAST_PORT


def test_a_server_answers_as_soon_as_start_returns() -> None:
    """It keeps nothing on the disk and evicts nothing by default."""
    with ValkeyServer() as server:
        assert server.command("PING") == "PONG"
        assert server.command("CONFIG", "GET", "save") == ["save", ""]
        assert server.command("CONFIG", "GET", "maxmemory-policy") == [
            "maxmemory-policy",
            "noeviction",
        ]
        assert server.url(3) == f"redis://127.0.0.1:{server.port}/3"
        data_dir = server.data_dir

    assert not server.is_running
    assert not data_dir.exists()


def test_an_append_only_server_keeps_what_it_acknowledged() -> None:
    """'always': a write that was answered is there after SIGKILL, on the same port."""
    with ValkeyServer(append_only="always") as server:
        port = server.port
        server.command("SET", "key", "value")
        server.kill()
        assert not server.is_ready()
        server.restart()

        assert (server.port, server.command("GET", "key")) == (port, "value")


def test_the_password_is_asked_for_and_not_on_the_command_line() -> None:
    """Only the owner can read it, in the configuration file."""
    with ValkeyServer(password=PASSWORD) as server:
        arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"word" not in arguments
        assert (server.data_dir / "valkey.conf").stat().st_mode & 0o777 == 0o600
        assert server.url() == f"redis://:p%40ss%20%22word%22%5C@127.0.0.1:{server.port}/0"

        server.password = None
        with pytest.raises(ReplyError, match="NOAUTH"):
            server.command("GET", "key")
        assert server.is_ready()


def test_a_frozen_server_goes_on_where_it_was() -> None:
    """`freeze` stops the answers, `thaw` brings them back with the data."""
    with ValkeyServer() as server:
        server.command("SET", "key", "value")
        server.freeze()
        assert not server.is_ready()
        server.thaw()
        assert server.command("GET", "key") == "value"


def test_memory_and_other_options_reach_the_server() -> None:
    """`options` win over the defaults."""
    with ValkeyServer(
        maxmemory="3mb", options={"maxmemory-policy": "allkeys-lru", "save": "3600 1"}
    ) as server:
        assert server.command("CONFIG", "GET", "maxmemory") == ["maxmemory", "3145728"]
        assert server.command("CONFIG", "GET", "save") == ["save", "3600 1"]
        assert "allkeys-lru" in str(server.command("CONFIG", "GET", "maxmemory-policy"))


def test_a_wrong_option_is_told_in_the_servers_words() -> None:
    """ServerDied has the end of the log."""
    server = ValkeyServer(options={"bogus": "1"})
    with pytest.raises(ServerDied, match="Bad directive"):
        server.start()
    server.close()


def test_a_given_directory_is_kept(tmp_path: Path) -> None:
    """Only a directory made by the server itself is removed."""
    with ValkeyServer(data_dir=tmp_path, append_only="everysec"):
        pass

    assert (tmp_path / "valkey.log").exists()


def test_a_port_lost_to_somebody_faster_is_replaced() -> None:
    """A server that chose its own port takes another when that one is taken meanwhile."""
    server = ValkeyServer()
    with ValkeyServer(port=server.port):
        taken = server.port
        with server:
            assert server.port != taken
            assert server.command("PING") == "PONG"


def test_a_given_port_that_is_taken_is_an_error() -> None:
    """A server with a given port does not move."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        server = ValkeyServer(port=listener.getsockname()[1])
        with pytest.raises(ServerDied, match="already in use"):
            server.start()
        server.close()


def test_a_cluster_serves_every_slot() -> None:
    """After `start` each key has a node, and the other nodes know which."""
    with ValkeyCluster() as cluster:
        cluster.nodes[2].command("SET", "foo", "value")
        with pytest.raises(ReplyError, match=f"MOVED 12182 .*:{cluster.nodes[2].port}"):
            cluster.nodes[0].command("GET", "foo")
