"""Claims: which process sends a spool file. There is one file for each claim, and no lock, which network file systems lack."""

from __future__ import annotations

import json
import os
import time

__all__ = ["ABANDONED", "RENEW_SECONDS", "Claim"]

ABANDONED = 120.0
"""Seconds after which a claim of another machine counts as abandoned."""

RENEW_SECONDS = 20.0


class Claim:
    """The claim of this process to send the lines of a file.

    Parameters
    ----------
    path
        The file of the claim.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._renewed = 0.0
        self._mark = ""

    def take(self) -> bool:
        """Claim it. Returns False if a living process has it.

        Raises
        ------
        OSError
            If the directory cannot be written.
        """
        self._mark = json.dumps([os.uname().nodename, os.getpid(), _started(os.getpid()), os.urandom(4).hex()])
        while True:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                if self.holder() or not self._remove_stale():
                    return False
                continue
            try:
                os.write(descriptor, self._mark.encode())
            finally:
                os.close(descriptor)
            self._renewed = time.monotonic()
            return True

    def holder(self) -> str:
        """Returns who holds it, such as ``process 7 on n1``; empty if nobody does, or if the holder is dead."""
        try:
            found = os.stat(self.path)
            with open(self.path, encoding="utf-8") as file:
                content = file.read()
            host, process, started, _ = json.loads(content)
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            # A process was killed, or is, between making the file and writing into it.
            return "" if _now(self.path) - _mtime(self.path) > RENEW_SECONDS else "another process"
        if host == os.uname().nodename:
            return f"process {process} on {host}" if _lives(process, started) else ""
        late = _now(self.path) - found.st_mtime
        return "" if late > ABANDONED else f"process {process} on {host}, {late:.0f} s ago"

    def renew(self) -> bool:
        """Renew it, every 20 s at most. Returns False if another process has taken it meanwhile."""
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return True
        try:
            with open(self.path, encoding="utf-8") as file:
                if file.read() != self._mark:
                    return False
            os.utime(self.path)
        except OSError:
            return self._taken_again()
        self._renewed = time.monotonic()
        return True

    def give_up(self) -> None:
        """Delete it, if it is ours."""
        try:
            with open(self.path, encoding="utf-8") as file:
                if file.read() != self._mark:
                    return
            os.unlink(self.path)
        except OSError:
            pass

    def _taken_again(self) -> bool:
        try:
            return self.take()
        except OSError:
            return True  # nobody else can take it, either

    def _remove_stale(self) -> bool:
        """Move a stale claim away. Of several processes that try, one succeeds."""
        aside = f"{self.path}.{os.urandom(4).hex()}.stale"
        try:
            os.rename(self.path, aside)
            os.unlink(aside)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


def _lives(process: object, started: object) -> bool:
    if not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return not started or _started(process) in ("", started)


def _started(process: int) -> str:
    """Returns when a process started, as Linux tells it, because numbers of processes are used again; empty elsewhere."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return "ended" if fields[0] == b"Z" else fields[19].decode()
    except (OSError, IndexError):
        return ""


def _mtime(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return float("inf")


def _now(path: str) -> float:
    """Returns the time of the file system's clock, which all nodes share."""
    probe = f"{path}.{os.urandom(4).hex()}.clock"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError:
        return time.time()
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        os.unlink(probe)
