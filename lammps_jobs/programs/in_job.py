"""The job of a `PythonJob`: ``python in_job.py run MODULE`` in the step's folder, ``version PACKAGE NEEDED…`` anywhere.

It is started by its path, so that no environment variable has to say where this package is. Exit codes: 0 done, 1 not
converged or failed; ``result.json`` says which.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__" and __package__ in (None, ""):
    # Python put this directory first, and its modules have the names of packages, such as tblite.
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:1] = [str(ROOT), str(ROOT / "client")]

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import traceback
from typing import Any

from tailrace.atomic_files import write_json
from tailrace.programs import StepRefused

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.programs.not_converged import NotConverged

INPUT, RESULT = "input.json", "result.json"


def main(words: list[str]) -> int:
    """Run the job of a module in the current directory, or print a package's version. Return the exit code."""
    if words[0] == "version":
        # Found, not imported: an agent asks this for each step.
        if missing := [name for name in words[2:] if importlib.util.find_spec(name) is None]:
            raise ImportError(f"not installed: {', '.join(missing)}")
        print(importlib.metadata.version(words[1]))
        return 0
    return _run(importlib.import_module(f"lammps_jobs.programs.jobs.{words[1]}"), Path.cwd())


def _run(module: Any, folder: Path) -> int:
    given = (folder / INPUT).read_bytes()
    identity = {"input": hashlib.sha256(given).hexdigest()}
    (folder / RESULT).unlink(missing_ok=True)
    try:
        content = {"state": "done", "results": module.run(folder, json.loads(given)).to_json()}
    except Exception as error:
        known = isinstance(error, (NotConverged, StepRefused, Refused))
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        state = "unconverged" if isinstance(error, NotConverged) else "failed"
        content = {"state": state, "reason": reason[:2000], "cause": getattr(error, "cause", "")}
        if not known:
            traceback.print_exc()
        print(f"{content['state']}: {reason}", file=sys.stderr)
    write_json(folder / RESULT, content | identity)
    return 0 if content["state"] == "done" else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        print(f"{error} (for {sys.executable})", file=sys.stderr)
        sys.exit(3)
