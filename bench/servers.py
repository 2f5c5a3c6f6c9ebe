"""Starting and stopping what is measured: ours, the peer and the bare Django view, each as it is run for real."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import psutil

from bench.errors import BenchError

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60

ServerName = Literal["gunicorn", "granian"]
SERVERS: tuple[ServerName, ...] = ("gunicorn", "granian")


class Server:
    """A server process and its workers.

    Parameters
    ----------
    name
        For messages and for the log file.
    logs
        Directory of the log file.
    bind
        The loopback address that ``argv`` makes it listen on.
    argv
        Its command.
    environ
        Beside what is inherited.
    ready
        Path that answers once it serves.
    data
        What it stores; removed at the end.
    """

    def __init__(
        self,
        name: str,
        logs: Path,
        bind: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        ready: str,
        data: Path | None = None,
    ) -> None:
        self.name = name
        self.url = f"http://{bind}"
        self.log = logs / f"{name}.log"
        self._argv = list(argv)
        self.environ = os.environ | dict(environ)
        self._ready = ready
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        logs.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start and wait until it serves.

        Raises
        ------
        BenchError
            With the end of its log, if it does not come up.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                state = self._process.poll()
                self.kill()
                raise BenchError(f"{self.name} did not start (exit code {state}):\n{self.log_end()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._ready, timeout=5):
                return True
        except urllib.error.HTTPError as exc:
            return exc.code < 500
        except OSError:
            return False

    def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """``kill -9`` the server and its workers."""
        if self._process is None:
            return
        # Its session is its own: the group holds what it started and nothing else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def remove_data(self) -> None:
        """Remove what it stored, once it is stopped."""
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the process that was started, the parent of all others."""
        if self._process is None:
            raise BenchError(f"{self.name} does not run")
        return self._process.pid

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        children = psutil.Process(self.pid).children(recursive=True)
        # granian keeps Python's resource tracker beside its workers.
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]

    def log_end(self, lines: int = 20) -> str:
        """The last lines it logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def tailrace(
    directory: Path,
    server: ServerName = "gunicorn",
    *,
    workers: int = 1,
    database_url: str = "",
    name: str = "",
    environ: Mapping[str, str] | None = None,
) -> Server:
    """Ours, as ``make serve`` starts it: every setting its default, but for those given; on a new database."""
    name = name or f"tailrace-{server}-{workers}w"
    var, bind = directory / name, free_address()
    shutil.rmtree(var, ignore_errors=True)
    environ = {
        **(environ or {}), "TAILRACE_AUTH": "open", "TAILRACE_SERVER": server, "TAILRACE_WORKERS": str(workers),
        "TAILRACE_BIND": bind, "TAILRACE_VAR_DIR": str(var), "TAILRACE_DATABASE_URL": database_url,
        "TAILRACE_SECRET_KEY": secrets.token_urlsafe(48),
    }  # fmt: skip
    return Server(name, directory / "logs", bind, [sys.executable, "-m", "server"], environ, "/healthz", var)


def bare(directory: Path, server: ServerName = "gunicorn", *, workers: int = 1) -> Server:
    """A bare Django view on the very command line that ours is served with, its processes set up as ours."""
    from server import config
    from server.__main__ import command

    var, bind = directory / f"bare-{server}", free_address()
    var.mkdir(parents=True, exist_ok=True)
    environ = {"BENCH_BARE_DIR": str(var), "BENCH_BARE_WORKERS": str(workers)}
    ours = command(config.Config.model_validate({"bind": bind, "server": server, "workers": workers, "auth": "open"}))
    argv = ["bench.bare.wsgi:application" if part == "server.wsgi:application" else part for part in ours]
    return Server(f"bare-{server}-{workers}w", directory / "logs", bind, argv, environ, "/", var)


def peer(directory: Path, python: Path) -> Server:
    """django-river-ml as it is deployed: gunicorn, 1 worker × 8 threads, its shelve storage."""
    var, bind = directory / "peer", free_address()
    shutil.rmtree(var, ignore_errors=True)
    var.mkdir(parents=True)
    argv = [
        str(python), "-m", "gunicorn", "--bind", bind, "--workers", "1", "--worker-class", "gthread",
        "--threads", "8", "--log-level", "warning", "peer.wsgi:application",
    ]  # fmt: skip
    environ = {"BENCH_PEER_DIR": str(var), "PYTHONPATH": str(ROOT / "bench")}
    return Server("peer", directory / "logs", bind, argv, environ, "/api/", var)


@contextlib.contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Start the servers, and stop them whatever happens."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.stop()
            server.remove_data()


def free_address() -> str:
    """A loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
