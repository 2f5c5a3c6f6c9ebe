"""A Tailrace server of one's own on this machine, for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tailrace.errors import Refused, Unreachable
from tailrace.server import Server

from lammps_jobs import processes

__all__ = ["LocalServer", "ServerFailed"]

HOST = "127.0.0.1"
START_LIMIT = 60.0
PORT_TRIES = 3


class ServerFailed(Exception):
    """The server did not start, or does not stay up; the message holds its last words."""


class _PortTaken(Exception):
    """Somebody else took the port between the look at it and the server's start."""


class LocalServer:
    """Starts a server on this machine that asks for tokens; a context manager that stops it.

    Parameters
    ----------
    root
        The checkout that holds the package ``server``.
    port
        On 127.0.0.1, if it is free; else it takes another one.
    log
        Where its output goes, appended.
    """

    def __init__(self, root: Path, port: int, log: Path) -> None:
        self.port = port
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
        """Its address now: a start or restart may change the port."""
        return f"http://{HOST}:{self.port}"

    def api(self, token: str = "") -> Server:
        """The server, shown ``token`` with every request."""
        return Server(self.url, token)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers. Raises ServerFailed with its last words if it doesn't."""
        for _ in range(PORT_TRIES):
            self.port = _free_port(self.port)
            try:
                self._start()
            except _PortTaken:
                continue
            return
        raise ServerFailed(f"no port on {HOST} stayed free until the server could take it")

    def stop(self) -> None:
        """End it; it finishes the requests under way first. Does nothing where it isn't running."""
        if self._process is not None:
            processes.end(self._process)
            self._process = None

    def restart(self) -> None:
        """Start it again after it ended by itself or was killed, on the same port if that is still free."""
        self.stop()
        self.start()

    def manage(self, *arguments: str) -> str:
        """What ``manage.py`` prints, run on this server's database.

        Raises
        ------
        ServerFailed
            With what it says, if it fails.
        """
        done = subprocess.run(
            [sys.executable, str(self._root / "manage.py"), *arguments],
            cwd=self._root, env=self._environment(), capture_output=True, text=True, timeout=START_LIMIT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ServerFailed(f"manage.py {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return os.environ | {
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
    """Whether a process of this group holds the socket that listens on the port; True where /proc can't tell.

    Something answers there, but it may be another Tailrace, and results must not go to it.
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
