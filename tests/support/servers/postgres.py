"""A PostgreSQL of the machine's own packages, in a folder that goes with it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.ports import free_port

PASSWORD = "canary-of-the-archive"  # noqa: S105 - of a server for one test
_OWNER = "postgres"


def found_programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where there is no server."""
    initdb = shutil.which("initdb")
    if initdb is not None:
        return Path(initdb).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class PostgresServer:
    """A server on a free port of this machine, until it is left."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"postgresql://{_OWNER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="griot-pg-"))
        # PostgreSQL refuses to run as root.
        self._user = _OWNER if os.geteuid() == 0 else None
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._user is not None:
            for one in (self._folder, password):
                shutil.chown(one, self._user)
        self._run("initdb", "-U", _OWNER, "-A", "scram-sha-256", "--pwfile", str(password), "-N")
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c shared_buffers=16MB"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-l", log, "-o", options)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            cwd=self._folder,
        )
