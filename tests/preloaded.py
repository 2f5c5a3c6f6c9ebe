"""Python processes that are forked from one that has the server's libraries loaded.

Each takes half a second of CPU to start instead of nearly three, and the tests start hundreds. What they run is what a new Python
would run: ``python -m server`` or ``python manage.py …``, with an environment, a directory and standard streams of its own.
"""

import fcntl
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
OF_THE_START = ("PYTHON", "LD_", "GLIBC_", "OPENBLAS_", "OMP_", "MKL_", "NPY_")
"""Variables by their first letters that have an effect only before libraries are loaded."""

_lock = threading.Lock()


class Process:
    """A forked process, with the methods of :class:`subprocess.Popen` that the tests use."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._waits = threading.Lock()

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        with self._waits:
            if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
                self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)
                os.close(self._status)
            return self.returncode


@functools.cache
def _parent(pid: int) -> socket.socket:
    """A connection to the process that has the libraries loaded, which all processes of the tests share."""
    relevant = sorted((name, value) for name, value in os.environ.items() if name.startswith(OF_THE_START))
    place = Path(os.environ["TAILRACE_TEST_DIR"]) / f"preloaded-{zlib.crc32(repr(relevant).encode()):08x}"
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with open(f"{place}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connection.connect(str(place))
        except OSError:  # nobody has started it, or it has ended after the last one that used it
            place.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
                listening.bind(str(place))
                listening.listen(64)
                subprocess.Popen(
                    [sys.executable, Path(__file__).with_name("preloaded_parent.py"), str(listening.fileno())],
                    cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[listening.fileno()],
                )  # fmt: skip
                connection.connect(str(place))
    return connection


def can_start(environment: Mapping[str, str]) -> bool:
    """Whether such an environment can be given to a process that has its libraries loaded."""
    names = {name for name in {*environment, *os.environ} if name.startswith(OF_THE_START)}
    return all(environment.get(name) == os.environ.get(name) for name in names)


def start(
    arguments: list[str],
    environment: Mapping[str, str],
    out: IO[bytes],
    errors: IO[bytes],
    *,
    cwd: Path = ROOT,
    session: bool = False,
) -> Process:
    """Start ``python ARGUMENTS``: ``["-m", MODULE, …]`` or ``[SCRIPT, …]``."""
    request = {"argv": arguments, "env": dict(environment), "cwd": str(cwd), "session": session}
    status, ended = os.pipe()
    with open(os.devnull, "rb") as nothing, _lock:
        connection = _parent(os.getpid())
        descriptors = [nothing.fileno(), out.fileno(), errors.fileno(), ended]
        socket.send_fds(connection, [json.dumps(request).encode()], descriptors)
        pid = int(connection.recv(64))
    os.close(ended)
    return Process(pid, status)


def run(
    arguments: list[str], environment: Mapping[str, str], timeout: float, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` to its end, with its output captured.

    Raises
    ------
    subprocess.TimeoutExpired
        If it takes longer; it is killed then.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = start(arguments, environment, out, errors, cwd=cwd)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = [(file.seek(0), file.read().decode())[1] for file in (out, errors)]
    return subprocess.CompletedProcess(arguments, code, *texts)
