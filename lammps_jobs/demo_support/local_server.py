"""`LocalServer`: starts a Tailrace server on this machine, and stops it at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tailrace.errors import Refused, Unreachable
from tailrace.transport.server import Server

from lammps_jobs.runs import processes

__all__ = ["LocalServer", "ServerFailed"]

HOST = "127.0.0.1"
START_LIMIT, MANAGE_LIMIT = 180.0, 180.0
PORT_TRIES = 3


class ServerFailed(Exception):
    """The server did not start, or stopped. The message contains the end of its log."""


class _PortTaken(Exception):
    """Another program took the port between the check and the server's start."""


class LocalServer:
    """A server on this machine that requires tokens. As a context manager, it starts the server and stops it.

    Parameters
    ----------
    root
        The checkout with the package ``server``.
    port
        Port on 127.0.0.1. If it is taken, the server uses another one.
    log
        File that the server's output is appended to.
    data
        Directory of a database of its own; None: as the settings say.
    """

    def __init__(self, root: Path, port: int, log: Path, data: Path | None = None) -> None:
        self.port = port
        self._data = data
        self._root = root
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Current address of the server. A restart may change the port."""
        return f"http://{HOST}:{self.port}"

    def api(self, token: str = "") -> Server:
        """Return a connection to the server that sends ``token`` with every request."""
        return Server(self.url, token)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers. Raises ServerFailed if it doesn't."""
        for _ in range(PORT_TRIES):
            self.port = _free_port(self.port)
            try:
                self._start()
            except _PortTaken:
                continue
            return
        raise ServerFailed(f"every tried port on {HOST} was taken by another program before the server could use it")

    def stop(self) -> None:
        """Stop the server after it has finished the current requests. Do nothing if it isn't running."""
        if self._process is not None:
            processes.end(self._process)
            self._process = None

    def kill(self) -> None:
        """Kill all processes of the server at once, as a power cut would. Do nothing if it isn't running."""
        if self._process is not None:
            processes.end(self._process, grace=0, first=signal.SIGKILL)
            self._process = None
            # Its other processes end a moment later. The agent knows the server by this port.
            ends = time.monotonic() + START_LIMIT
            while _free_port(self.port) != self.port:
                if time.monotonic() > ends:
                    raise ServerFailed(f"port {self.port} of {HOST} is still in use after the server was killed")
                time.sleep(0.1)

    def restart(self) -> None:
        """Start the server again after it stopped or was killed, on the same port if that is free."""
        self.stop()
        self.start()

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py`` with this server's database, and return its output.

        Raises
        ------
        ServerFailed
            If the command fails, with its message, or takes longer than three minutes.
        """
        try:
            done = subprocess.run(
                [sys.executable, str(self._root / "manage.py"), *arguments],
                cwd=self._root, env=self._environment(), capture_output=True, text=True, timeout=MANAGE_LIMIT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ServerFailed(
                f"manage.py {arguments[0]} did not end in {MANAGE_LIMIT:.0f} s: is the machine busy?"
            ) from None
        if done.returncode:
            raise ServerFailed(f"manage.py {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self._data is not None:
            environment.pop("TAILRACE_DATABASE_URL", None)
            environment["TAILRACE_VAR_DIR"] = str(self._data)
        return environment | {
            "TAILRACE_BIND": f"{HOST}:{self.port}",
            "TAILRACE_AUTH": "required",
            "PYTHONPATH": os.pathsep.join([str(self._root), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def _start(self) -> None:
        with open(self._log, "ab") as output:
            self._process = processes.start(
                [sys.executable, "-m", "server"],
                output,
                cwd=self._root,
                environment=self._environment(),
                end_with_parent=True,
            )
        try:
            self._wait(self._process, time.monotonic() + START_LIMIT)
        except BaseException:
            self.stop()
            raise

    def _wait(self, process: subprocess.Popen[bytes], ends: float) -> None:
        while time.monotonic() < ends:
            if process.poll() is not None:
                raise ServerFailed(f"the server ended at once. {self._last_words()}")
            try:
                self.api().request("GET", "/healthz", deadline=1.0)
            except (Unreachable, Refused):
                time.sleep(0.1)
                continue
            if not _listens(process.pid, self.port):
                raise _PortTaken
            return
        raise ServerFailed(f"the server does not answer at {self.url}/healthz. {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = "\n  ".join(lines[-8:]) if lines else "(nothing)"
        return f"The end of its log, {self._log}:\n  {words}"


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerFailed(f"no port is free on {HOST}")


def _listens(group: int, port: int) -> bool:
    """Return whether a process of this group listens on the port; True if /proc can't tell.

    Another Tailrace may be answering on the port, and results must not go to it.
    """
    local, listening = f"{socket.inet_aton(HOST)[::-1].hex().upper()}:{port:04X}", "0A"
    try:
        rows = [row.split() for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return True
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == local and row[3] == listening}
    return any(sockets & _open_files(pid) for pid in _members(group))


def _members(group: int) -> Iterator[str]:
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.getpgid(int(name)) == group:
                yield name


def _open_files(pid: str) -> set[str]:
    files = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                files.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return files
