"""`PythonJob`: base class of programs that are Python code of ours, run as the job of a step.

`prepare` writes ``input.json``. The job (`in_job`) reads it, calculates, and writes ``result.json`` when it is complete:
the results, or why there are none. The result names the checksum of its input, so that the file of another attempt is
never taken for this one's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from tailrace.programs import Keep, Program, ProgramUnavailable, Results, Step, Verdict, sha256_of

from lammps_jobs.programs.parents import STRUCTURE, atoms_of, left_structure, structure_text

__all__ = ["INPUT", "RESULT", "PythonJob"]

INPUT, RESULT = "input.json", "result.json"
BOOTSTRAP = Path(__file__).with_name("in_job.py")
LARGEST = 64 << 20
VERSION_LIMIT = 120.0


class PythonJob(Program):
    """A program of ours. Option ``command`` of the site: words that run `in_job` where this Python is not to be used."""

    job: ClassVar[str] = ""
    """Module of `lammps_jobs.programs.jobs` that does the work."""
    package: ClassVar[str] = "lammps"
    """The package whose version counts as the program's."""
    needs: ClassVar[tuple[str, ...]] = ("numpy", "ase")
    """Packages that the job imports."""

    def version(self) -> str:
        if self.site.container.runtime != "none" and not self.site.options.get("command"):
            raise ProgramUnavailable(
                f"{self.name} runs in a container: set command to the words that start in_job.py there, such as "
                "['python3', '/opt/tailrace/lammps_jobs/programs/in_job.py']"
            )
        with tempfile.TemporaryDirectory() as folder:
            words = [*self._start(), "version", self.package, *self.needs]
            command = self.site.container.wrap(words, Path(folder), Path(folder))
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", timeout=VERSION_LIMIT, check=False, cwd=folder,
                    stdin=subprocess.DEVNULL,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                raise ProgramUnavailable(f"{' '.join(command)} can't be run: {error}") from None
        if done.returncode != 0 or not done.stdout.strip():
            said = (done.stderr.strip() or "no message").splitlines()[-1]
            raise ProgramUnavailable(f"{self.name} can't run here: {said}")
        return done.stdout.strip().splitlines()[-1]

    def prepare(self, step: Step, folder: Path) -> None:
        if (structure := self.structure(step)) is not None:
            (folder / STRUCTURE).write_text(structure, encoding="utf-8")
        content = {"settings": step.settings, "processes": step.mpi_resources.processes, **self.inputs(step, folder)}
        (folder / INPUT).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")

    def structure(self, step: Step) -> str | None:
        """Return the structure: the step's own, or else that of its parent. None: the program needs none."""
        return structure_text(step)

    def inputs(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """Return more for ``input.json``, after writing other files."""
        return {}

    def command(self, step: Step, folder: Path) -> list[str]:
        return self.site.command([*self._start(), "run", self.job], step, folder, mpi=False)

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        if exit_code is None:
            return Verdict.failed("the job ended without an exit code: it was killed or cancelled", "stopped")
        try:
            result = self.result(folder)
        except (OSError, ValueError) as error:
            return Verdict.failed(f"exit code {exit_code}, and there is no complete result: {error}")
        if result["state"] == "done":
            if exit_code != 0:
                return Verdict.failed(f"{RESULT} is complete, but the job ended with exit code {exit_code}")
            try:
                Results.from_json(result["results"]).to_json()
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                return Verdict.failed(f"{RESULT} has results that can't be used: {error}")
            return Verdict.done()
        reason, cause = str(result.get("reason") or "no reason given"), str(result.get("cause") or "")
        return Verdict.unconverged(reason, cause) if result["state"] == "unconverged" else Verdict.failed(reason, cause)

    def extract(self, step: Step, folder: Path) -> Results:
        results = Results.from_json(self.result(folder)["results"])
        return replace(results, files=tuple(dict.fromkeys((*results.files, *left_structure(folder)))))

    def keep(self, step: Step) -> Keep:
        return Keep(children=(STRUCTURE,), always=(INPUT, RESULT, "output.txt"))

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        return {"atoms": atoms_of(step)}

    def result(self, folder: Path) -> dict[str, Any]:
        """Return the content of ``result.json``. Raises OSError or ValueError if there is none for this input."""
        path = folder / RESULT
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{RESULT} has {path.stat().st_size} bytes: expected at most {LARGEST}")
        result = json.loads(path.read_bytes())
        if not isinstance(result, dict) or result.get("state") not in ("done", "unconverged", "failed"):
            raise ValueError(f"{RESULT} has no state")
        if result.get("input") != sha256_of(folder / INPUT):
            raise ValueError(f"{RESULT} belongs to another input")
        return result

    def _start(self) -> list[str]:
        command = self.site.options.get("command")
        return [str(word) for word in command] if command else [sys.executable, str(BOOTSTRAP)]
