"""A TCP port on which a server can listen now and again later."""

import random
import socket

# Below the range from which systems take the ports of outgoing connections (32768 and up on
# Linux, 49152 on macOS). Inside it a client that reconnects to a killed server may be given
# the server's own port and connect to itself, and the server cannot come back.
FIRST_PORT = 12_000
LAST_PORT = 31_999
ATTEMPTS = 100


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on at `host`. It is not reserved: use it soon.

    Raises OSError if none was found in 100 attempts.
    """
    for _ in range(ATTEMPTS):
        port = random.SystemRandom().randint(FIRST_PORT, LAST_PORT)
        if is_free(host, port):
            return port
    raise OSError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {host}")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
