"""Reads a structure with ASE, in a process of its own: a small file may ask for a billion atoms, or for days of symmetry.

Run as a script, this file reads from standard input and writes extended XYZ to standard output. It imports nothing of the server.
"""

import io
import resource
import subprocess
import sys
import threading
from typing import Any

SECONDS = 10
"""Longest time, s of CPU; three times as long by the clock."""
MEGABYTES = 1024
"""Most memory."""
PATIENCE = 2.0
"""Longest time that a caller waits for others, s."""
MOST_AT_ONCE = 2
_room = threading.BoundedSemaphore(MOST_AT_ONCE)


class Busy(Exception):
    """Others are reading as many files as may be read at once."""


class Unreadable(Exception):
    """ASE can't read the text, or not within the limits. The message is a part of a sentence that begins with the file."""


def read(content: str, form: str, most_atoms: int) -> str:
    """Return a structure as extended XYZ.

    Raises
    ------
    Busy, Unreadable
        If it can't be read now, or at all.
    """
    if not _room.acquire(timeout=PATIENCE):
        raise Busy
    try:
        done = subprocess.run(
            [sys.executable, __file__, form, str(most_atoms)],
            input=content.encode(), capture_output=True, timeout=3 * SECONDS, check=False,
            env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unreadable(f"it takes more than {SECONDS} s") from None
    finally:
        _room.release()
    if done.returncode == 0:
        return done.stdout.decode()
    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode == 1 and said.startswith("refused: "):
        raise Unreadable(said.removeprefix("refused: ")[:500])
    raise Unreadable(f"it takes more than {SECONDS} s or {MEGABYTES} MB")


def main(form: str, most_atoms: int) -> None:
    """Read standard input, and write extended XYZ to standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES * 2**20, MEGABYTES * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from ase.io import read as ase_read
    from ase.io import write as ase_write

    atoms: Any = ase_read(io.StringIO(sys.stdin.read()), format=form)
    if len(atoms) > most_atoms:
        raise ValueError(f"it has {len(atoms)} atoms, and the most allowed is {most_atoms}")
    atoms.info = {}
    written = io.StringIO()
    ase_write(written, atoms, format="extxyz", columns=["symbols", "positions"], write_results=False)
    sys.stdout.write(written.getvalue())


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except MemoryError:
        raise SystemExit(2) from None
    except Exception as exc:
        raise SystemExit(f"refused: {type(exc).__name__}: {' '.join(str(exc).split())}") from None
