"""Which logs were reported, and under which keys, so that the log of an earlier run is not reported again under another key.

A script may run LAMMPS several times into one log, and jobs may follow each other in one directory. If a run does not
start, the log is still that of the run before. The notes are lines in files in the spool's directory ``.reported``, and in a
file beside the log, for a site's hook, which has another spool than the job's user. lammps_jobs/epilogue.sh reads and writes
them, too. They need no lock: if a line is lost, or nothing can be written, the log is reported as if there were no notes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from tailrace.observations.fingerprint import fingerprint
from tailrace.spool.directory import SIZE_MB, SpoolDirectory, digest
from tailrace.transport.endpoint import address_of

__all__ = ["ReportedLog", "digest_of_log"]

BESIDE = ".tailrace-reported"
"""Name of the file beside the log. Only the directory's owner writes it: a hook of root must not follow a user's links."""

TAIL = 1 << 16
LARGEST = 1 << 14
"""Size above which a file of notes is shortened, bytes. There are at most 256 files."""
LINES = 50
"""Number of its latest lines that a shortened file keeps."""
SHOWN = 200
"""Number of bytes of a key that are stored, for messages."""


def digest_of_log(log: Path) -> str:
    """Return a digest of a log's end, as 32 hexadecimal digits. It differs between runs. Raises OSError."""
    with open(log, "rb") as file:
        # The end of a log contains the timings to the microsecond.
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        return hashlib.sha256(file.read()).hexdigest()[:32]


class ReportedLog:
    """The notes about one log, as it is now.

    A line consists of the log's digest, a fingerprint of server, stream and path, a fingerprint of stream and key, and the key.

    Parameters
    ----------
    log
        The log, a regular file.
    stream, url
        Stream and server that it is reported to. A report to another one is another observation.
    spool
        Directory of the spool. None: the default one.

    Raises
    ------
    OSError
        If the log can't be read.
    """

    def __init__(self, log: Path, stream: str, url: str | None, spool: str | None) -> None:
        self._stream = stream
        log_digest = digest_of_log(log)
        path = os.path.join(os.path.realpath(log.parent), log.name)
        place = fingerprint("\0".join((address_of(url), stream, path)))
        self._log = f"{log_digest} {place} "
        self._notes = Path(SpoolDirectory(spool, SIZE_MB).place, ".reported", log_digest[:2])
        self._beside = Path(path).with_name(BESIDE)

    def other_key(self, key: str) -> str | None:
        """Return the key under which this log was reported. None if there is none, or if one is the given key."""
        found = [line[len(self._log) :] for line in self._lines() if line.startswith(self._log)]
        if not found or any(line.startswith(digest(self._stream, key)) for line in found):
            return None
        return found[-1].partition(" ")[2]

    def remember(self, key: str) -> None:
        """Note that the log was reported under this key, if that can be written."""
        shown = " ".join(key.split()).encode("utf-8", "replace")[:SHOWN]
        line = f"{self._log}{digest(self._stream, key)} ".encode() + shown + b"\n"
        try:
            self._notes.parent.mkdir(parents=True, exist_ok=True)
            _append(self._notes, line)
        except OSError:
            pass  # the next report of this log is made as if it were the first
        try:
            directory = self._beside.parent.stat()
            if directory.st_uid == os.geteuid() and not directory.st_mode & stat.S_IWOTH:
                _append(self._beside, line)
        except OSError:
            pass  # a hook reports this log as if it were the first

    def _lines(self) -> list[str]:
        return [
            line
            for notes in (self._notes, self._beside)
            for line in _read(notes).decode("utf-8", "replace").split("\n")
        ]


def _append(notes: Path, line: bytes) -> None:
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if status.st_size + len(line) > LARGEST:
        short = notes.with_name(f"{notes.name}.{os.uname().nodename}.{os.getpid()}")
        short.write_bytes(b"".join(_read(notes).splitlines(keepends=True)[-LINES:]))
        os.replace(short, notes)


def _read(notes: Path) -> bytes:
    try:
        descriptor = os.open(notes, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 2 * LARGEST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)
