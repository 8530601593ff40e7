"""Whether an address says of TLS what its server does: told within a second, not by time-outs."""

import socket
import ssl

from tasks.process.configuration import Settings
from worker.checks.findings import Finding, Level
from worker.checks.security import PORTS, Way, ways_to_servers

ANSWER_S = 1.0
ALERT = b"\x15"
"""How TLS begins to say that it was not spoken to in TLS."""


def tls_findings(settings: Settings, *, only_secure: bool = False) -> dict[str, Finding]:
    """By the name of its way, what is wrong of TLS in the address of memory, broker and results.

    `only_secure`: only addresses that say TLS are asked. Sentinels are not: theirs is another.
    """
    found = {}
    asked: dict[tuple[tuple[str, int], bool], bool] = {}
    for way in ways_to_servers(settings):
        if way.has_sentinels or (only_secure and way.tls is None):
            continue
        for at in way.addresses[:1]:
            wanted = (at, way.tls is not None)
            if wanted not in asked:
                asked[wanted] = is_mismatch(*at, has_tls=way.tls is not None)
            if asked[wanted]:
                found[way.name] = _finding(way, at)
    return found


def is_mismatch(host: str, port: int, *, has_tls: bool) -> bool:
    """Whether a server answers there, but with TLS where the address has none, or the other way
    round. Takes ANSWER_S at each of two steps at most."""
    if has_tls:
        return speaks_tls(host, port) is False
    # Who answers in plain text is asked no more; only who hangs up may want TLS.
    return _hangs_up(host, port) and speaks_tls(host, port) is True


def _finding(way: Way, at: tuple[str, int]) -> Finding:
    where = "{}:{}".format(*at)
    is_rabbit = at[1] in (PORTS["amqp"], PORTS["amqps"])
    plain, secure = ("amqp", "amqps") if is_rabbit else ("redis", "rediss")
    if way.tls is None:
        found, scheme = f"{where} answers only with TLS", secure
    else:
        found, scheme = f"{where} does not speak TLS", plain
    return Finding(way.name, Level.FAIL, found, f"write {scheme}:// in {way.setting}")


def speaks_tls(host: str, port: int) -> bool | None:
    """Whether who answers there does so in TLS; None if nobody can be reached. Takes ANSWER_S at
    each of two steps at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        plain = socket.create_connection((host, port), timeout=ANSWER_S)
    except OSError:
        return None
    with plain:
        try:
            context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLError as exc:
            # An alert is an answer in TLS, such as one that asks for a certificate.
            return "ALERT" in str(exc.reason or "")
        except OSError:
            return False
    return True


def _hangs_up(host: str, port: int) -> bool:
    """Whether a server ends a connection that begins in plain text."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in (b"", ALERT)
    except ConnectionResetError:
        return True
    except OSError:
        return False
