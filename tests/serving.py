"""Real server processes for the tests: started as ``make serve`` starts them, killed as machines do."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from tests import preloaded, tables

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60


def _own_ports() -> Iterator[int]:
    """A thousand of this process of the tests, over and over, below those that the kernel gives to connections by itself."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return itertools.cycle(14_000 + worker % 16 * 1_000 + (os.getpid() + number) % 1_000 for number in range(1_000))


_ports = _own_ports()


def free_port() -> int:
    """A port that nobody has, and that nobody is given before it is used."""
    for port in itertools.islice(_ports, 1_000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def fresh_database(name: str, *, empty: bool = False) -> Iterator[str]:
    """The URL of a database of its own, which is empty or has tables; no URL means SQLite in the server's directory."""
    base = os.environ.get("TAILRACE_TEST_DATABASE_URL", "")
    if os.environ.get("TAILRACE_TEST_ON") != "postgresql":
        yield ""
        return
    name = f"tailrace_{name}_{os.getpid()}_{time.monotonic_ns()}"
    admin = psycopg2.connect(base)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"' + ("" if empty else f' TEMPLATE "{tables.template()}"'))
    try:
        yield urlunsplit(urlsplit(base)._replace(path=f"/{name}"))
    finally:
        with admin.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        admin.close()


class Server:
    """A server on a port of its own.

    Parameters
    ----------
    directory
        Its ``TAILRACE_VAR_DIR``.
    database
        As :func:`fresh_database` gives it.
    empty
        Whether it makes the tables of an SQLite database itself, in 1.4 s of CPU. Otherwise they are copied before it starts.
    settings
        More settings, without their prefix.
    """

    def __init__(self, directory: Path, database: str = "", *, empty: bool = False, **settings: Any) -> None:
        self.directory = directory
        self.empty = empty
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        self.environment |= {
            "TAILRACE_VAR_DIR": str(directory),
            "TAILRACE_BIND": f"127.0.0.1:{self.port}",
            "TAILRACE_AUTH": "open",
            **({"TAILRACE_DATABASE_URL": database} if database else {}),
            **{f"TAILRACE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | preloaded.Process | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "server.log"

    def begin(self) -> "Server":
        """Start it, and wait for nothing."""
        if not self.empty and "TAILRACE_DATABASE_URL" not in self.environment:
            tables.copy_to(self.directory)
        command = ["-m", "server"]
        with open(self.log, "ab") as log:
            if preloaded.can_start(self.environment):
                self.process = preloaded.start(command, self.environment, log, log, session=True)
            else:
                self.process = subprocess.Popen(
                    [sys.executable, *command],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        return self

    def start(self) -> "Server":
        self.begin()
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/healthz")[0] == 200:
                    return self
            threading.Event().wait(0.05)
        raise AssertionError(f"the server didn't start:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """As a power cut does it: all processes at once, with no chance to tidy up."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As an operator does it."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server didn't stop:\n{self.log.read_text()[-3000:]}") from None

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(content) if is_json and content else content
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.request("POST", path, body, headers)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` on this server's database."""
        if preloaded.can_start(self.environment):
            return preloaded.run(["manage.py", *arguments], self.environment, PATIENCE * 2)
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE * 2, check=False,
        )  # fmt: skip
