"""Certificates and a TLS door before a server that has none."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.listening import close_server
from sandbox.ports import free_port

HOST = "127.0.0.1"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Authority:
    """A certificate authority that lives in a directory."""

    directory: Path
    name: str

    @property
    def certificate(self) -> Path:
        """What a client must trust."""
        return self.directory / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.directory / f"{self.name}.key"

    def create(self) -> Self:
        """Make the key and the certificate."""
        _openssl(
            "req", "-x509", *_NEW_KEY, "-keyout", self.key, "-out", self.certificate,
            "-subj", f"/CN={self.name}", "-days", "2",
        )  # fmt: skip
        return self

    def issue(self, host: str, *, days: int = 2, names: str = "") -> ssl.SSLContext:
        """A server's context with a certificate for `host`, or for `names` in OpenSSL's notation;
        expired where `days` is negative."""
        key, request = self.directory / f"{host}.key", self.directory / f"{host}.csr"
        certificate, extension = self.directory / f"{host}.pem", self.directory / f"{host}.ext"
        extension.write_text(f"subjectAltName={names or f'DNS:{host}'}\n")
        _openssl("req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={host}")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
            "-out", certificate, "-days", days, "-extfile", extension,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


def _openssl(*arguments: object) -> None:
    command = ("openssl", *map(str, arguments))
    subprocess.run(command, check=True, capture_output=True, timeout=20)


class TlsDoor:
    """Listens with TLS on `port` and forwards to a plain server, in a thread of its own."""

    def __init__(self, target_port: int, context: ssl.SSLContext) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._loop.set_exception_handler(lambda _loop, _context: None)  # refused handshakes
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port, ssl=self._context)

    async def _stop(self) -> None:
        await close_server(self._server)
        # A connection whose handshake is under way is known to asyncio only.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(HOST, self._target_port)
        try:
            ways = (_pump(reader, inner_writer), _pump(inner_reader, writer))
            await asyncio.wait(
                [self._loop.create_task(way) for way in ways],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            # `close` would wait for the peer's farewell.
            inner_writer.transport.abort()
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        return


def tls_redis() -> Path | None:
    """A redis-server on the PATH that was built with TLS; None elsewhere."""
    found = shutil.which("redis-server")
    if found is None:
        return None
    # It stops at the first line that it does not know.
    said = subprocess.run(
        (found, "-"),
        input="tls-replication yes\nno-such-setting yes\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return Path(found) if "'no-such-setting" in said.stdout + said.stderr else None
