"""Runs one call of a program's plug-in in a process of its own: ``python -m tailrace.agent.plugin STAGE FOLDER``.

The agent never imports a plug-in, so a plug-in that fails, hangs or needs much memory harms only its own step. What the agent
says comes as JSON on standard input. The result is the file ``STAGE.json`` in the folder, renamed into place.

Stages are ``describe`` (version and schema of a program), ``foresee`` (what the wall time of a step depends on), ``prepare``
(input files and command of an attempt), ``settle`` (verdict, results and files) and ``analyse`` (analyses on the results).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tailrace.atomic_files import read_json, write_json
from tailrace.errors import TailraceError
from tailrace.launchers.containers import Container
from tailrace.launchers.schedulers import make_launcher
from tailrace.programs import (
    Program,
    Results,
    Site,
    Step,
    StepRefused,
    Verdict,
    advertise,
    checked_step,
    kept_files,
    load_program,
    run_analyses,
    sha256_of,
    walltime_observation,
)
from tailrace.programs.step_walltime import walltime_features

__all__ = ["main"]

PR_SET_PDEATHSIG = 1
MOST_FILES = 100


class _Call:
    """One call: the folder, and what the agent says."""

    def __init__(self, folder: Path, said: Mapping[str, Any]) -> None:
        self.folder = folder
        self.said = said
        launcher = make_launcher(said["launcher"], said["launcher_options"], said["mpi"])
        container = Container(said["runtime"], said["image"])
        site = Site(said["options"], launcher, container, Path(said["root"]))
        self.program: Program = load_program(said["name"], site, said["module"])

    def step(self) -> Step:
        root = Path(self.said["root"])
        work = read_json(self.folder / "step.json")
        step = Step.from_json(work, lambda step, fence: root / "steps" / str(step) / str(fence))
        return checked_step(self.program, step)

    def describe(self) -> dict[str, Any]:
        return advertise(self.said["name"], self.program)

    def foresee(self) -> dict[str, Any]:
        return {"features": walltime_features(self.program, self.step())}

    def prepare(self) -> dict[str, Any]:
        step = self.step()
        for parent in step.parents:
            _check_parent(parent.name, parent.folder)
        self.program.prepare(step, self.folder)
        command = self.program.command(step, self.folder)
        if not command or not all(isinstance(word, str) and word and "\0" not in word for word in command):
            raise StepRefused(f"the program {step.program!r} gave the command {command!r}: expected a list of words")
        return {"command": command, "version": self.program.version()}

    def settle(self) -> dict[str, Any]:
        step, program, version = self.step(), self.program, self.program.version()
        outcome = self.said["outcome"]
        verdict = program.validate(step, self.folder, outcome["exit_code"])
        results, observations = Results(), []
        if verdict.state == "done":
            results = program.extract(step, self.folder)
            observations = list(results.observations)
            if (seconds := outcome.get("seconds")) is not None:
                source = {"host": outcome.get("host", ""), "version": version}
                observations.append(walltime_observation(program, step, seconds, source=source))
        keep = program.keep(step)
        content = Results(results.values, results.tables, results.files, results.report, observations).to_json()
        return {
            **content,
            "state": verdict.state,
            "reason": verdict.reason,
            "declared": _declared(self.folder, results.files),
            "kept": _entries(self.folder, kept_files(self.folder, (*keep.children, *keep.always))),
            "always": list(keep.always),
            "next": self._correction(step, verdict),
            "version": version,
        }

    def analyse(self) -> dict[str, Any]:
        step = self.step()
        settled = read_json(self.folder / "settle.json")
        reports = run_analyses(self.program.analyses, step, self.folder, Results.from_json(settled))
        known = set(settled["files"])
        for report in reports:
            report["declared"] = _declared(self.folder, [name for name in report["files"] if name not in known])
            known |= set(report["files"])
        return {"analyses": reports}

    def _correction(self, step: Step, verdict: Verdict) -> dict[str, Any] | None:
        if verdict.state == "done" or step.attempt >= self.said["attempts"]:
            return None
        correction = self.program.correct(step, self.folder, verdict)
        return None if correction is None else correction.to_json()


def _check_parent(name: str, folder: Path) -> None:
    """Raise StepRefused unless the files that a parent keeps are as they were when it was settled."""
    settled = read_json(folder / "settle.json")
    if settled is None:
        raise StepRefused(f"the folder of the parent step {name!r} is not here: it was cleaned, or ran elsewhere")
    for one in settled["kept"]:
        path = folder / one["name"]
        if not path.is_file() or path.stat().st_size != one["size"] or sha256_of(path) != one["sha256"]:
            raise StepRefused(
                f"{one['name']} of the parent step {name!r} is missing or has changed: run that step again"
            )


def _declared(folder: Path, names: Any) -> list[dict[str, Any]]:
    """Returns name, size and checksum of files to upload. Raises StepRefused for one that is not inside of the folder."""
    if len(names) > MOST_FILES:
        raise StepRefused(f"there are {len(names)} files to upload: expected at most {MOST_FILES}")
    for name in names:
        path = folder / name
        if "/" in name or path.is_symlink() or not path.is_file():
            raise StepRefused(f"the file to upload, {name!r}, is not a file in the step's folder")
    return _entries(folder, [Path(name) for name in dict.fromkeys(names)])


def _entries(folder: Path, names: list[Path]) -> list[dict[str, Any]]:
    return [
        {"name": str(name), "size": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in names
    ]


def _limit(said: Mapping[str, Any]) -> None:
    """End with the agent, and hold the site's limit of memory."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != said["agent"]:
            sys.exit(1)
    most = int(said["memory_mb"]) << 20
    if most:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> int:
    """Run a stage. Returns the exit code: 0 if ``STAGE.json`` says how it went."""
    stage, folder = arguments[0], Path(arguments[1])
    said = json.load(sys.stdin)
    _limit(said)
    result: dict[str, Any]
    try:
        call = _Call(folder, said)
        stages: dict[str, Callable[[], dict[str, Any]]] = {
            "describe": call.describe, "foresee": call.foresee, "prepare": call.prepare, "settle": call.settle,
            "analyse": call.analyse,
        }  # fmt: skip
        os.chdir(folder)
        result = stages[stage]()
    except TailraceError as error:
        result = {"error": str(error)}
    except Exception as error:
        import traceback

        traceback.print_exc()
        result = {"error": f"the plug-in failed: {type(error).__name__}: {error}"}
    write_json(folder / f"{stage}.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
