"""The peer's own environment: installed once under var/bench, and never mixed with ours."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import BenchError

REQUIREMENTS = Path(__file__).parent / "peer-requirements.txt"


def ensure(directory: Path, say: Callable[[str], None]) -> Path:
    """Install the peer unless it is there already.

    Parameters
    ----------
    directory
        Where its environment lives.
    say
        Told when there is something to wait for.

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    BenchError
        With what pip said.
    """
    venv = directory / "peer-venv"
    python = venv / "bin" / "python"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = venv / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say("installing the peer, django-river-ml, into an environment of its own (half a minute, once)")
    _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)])
    stamp.write_text(wanted)
    return python


def facts(python: Path) -> dict[str, Any]:
    """What the peer runs on: its packages, and which database module its shelve opens on this Python."""
    code = (
        "import dbm, json, pathlib, tempfile\n"
        "from importlib.metadata import distributions\n"
        "with tempfile.TemporaryDirectory() as directory:\n"
        "    path = str(pathlib.Path(directory) / 'shelf')\n"
        "    dbm.open(path, 'c').close()\n"
        "    kind = dbm.whichdb(path)\n"
        "print(json.dumps({'shelve': kind, 'packages': {d.name: d.version for d in distributions()}}))\n"
    )
    found: dict[str, Any] = json.loads(_run([str(python), "-c", code]))
    return found


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(
            f"the peer's environment: `{' '.join(command)}` exited with {done.returncode}:\n"
            f"{(done.stderr or done.stdout).strip()[-1000:]}"
        )
    return done.stdout
