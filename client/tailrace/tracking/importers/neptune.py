"""Reads directories ``.neptune``, in which Neptune's client kept operations: offline runs, and what was never sent."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from tailrace.tracking.files import check_path
from tailrace.tracking.importers.imported import ImportedRun, Unreadable, is_plain, run_uid

__all__ = ["is_neptune", "read_neptune"]

DATA = re.compile(r"data-([0-9]{1,18})\.log")
LONGEST_LINE = 2**26


def is_neptune(path: str) -> bool:
    """Whether a directory holds operations of Neptune's client."""
    return os.path.basename(os.path.abspath(path)) == ".neptune" or next(_directories(path), None) is not None


def read_neptune(path: str) -> Iterator[ImportedRun]:
    """Yields the runs.

    Raises
    ------
    Unreadable
        If a directory cannot be read.
    """
    for place, files in _directories(path):
        yield _Reader(place, files, path).read()


def _directories(path: str) -> Iterator[tuple[str, list[str]]]:
    for place, names, files in os.walk(path):
        names.sort()
        found = sorted(
            (int(match[1]), name)
            for name in files
            if (match := DATA.fullmatch(name)) and is_plain(os.path.join(place, name))
        )
        if found:
            yield place, [os.path.join(place, name) for _, name in found]


class _Reader:
    """Reads the operations of one run."""

    def __init__(self, place: str, files: list[str], root: str) -> None:
        relative = os.path.relpath(place, root)
        self._place, self._files = place, files
        about = self._about()
        mark = about.get("containerId") or next((one for one in relative.split(os.sep) if "__" in one), relative)
        self._run = ImportedRun(run_uid("neptune", str(mark)), place, name=str(mark)[:100], status="FINISHED")
        self._next: dict[str, int] = {}
        self._assigned: dict[str, Any] = {}
        self._tags: set[str] = set()
        self._logs: dict[str, list[str]] = {}

    def read(self) -> ImportedRun:
        run = self._run
        times = []
        for path in self._files:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    for number, line in enumerate(iter(lambda file=file: file.readline(LONGEST_LINE), ""), 1):  # type: ignore[misc]
                        times.append(self._operation(line, f"{path}, line {number}"))
            except OSError as error:
                raise Unreadable(f"{path} can't be read: {error.strerror or error}") from None
        known = [time for time in times if time]
        run.started_ms, run.ended_ms = min(known, default=0), max(known, default=0)
        self._settle()
        return run

    def _about(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self._place, "metadata.json"), encoding="utf-8") as file:
                found = json.load(file)
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def _operation(self, line: str, where: str) -> int:
        """Take one operation. Returns its time in Unix milliseconds; 0 if it has none."""
        if not line.strip():
            return 0
        try:
            record = json.loads(line)
            operation = record.get("obj", record)
            kind, path = operation["type"], "/".join(map(str, operation["path"]))
            time_ms = _milliseconds(record.get("at"))
            self._take(kind, path, operation, time_ms)
            return time_ms
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # A process that was killed leaves a part of a line.
            self._run.left_out.append(f"{where}: it is not a whole operation")
            return 0

    def _take(self, kind: str, path: str, operation: dict[str, Any], time_ms: int) -> None:
        if kind in ("AssignFloat", "AssignInt", "AssignBool", "AssignString", "AssignDatetime"):
            self._assigned[path] = operation["value"]
        elif kind == "LogFloats":
            for one in operation["values"]:
                self._run.points.append(
                    (path, self._step(path, one.get("step")), _milliseconds(one.get("ts")) or time_ms, one["value"])
                )
        elif kind == "LogStrings":
            self._logs.setdefault(path, []).extend(str(one["value"]) for one in operation["values"])
        elif kind == "AddStrings":
            self._tags |= set(map(str, operation["values"]))
        elif kind == "RemoveStrings":
            self._tags -= set(map(str, operation["values"]))
        elif kind == "DeleteAttribute":
            self._assigned.pop(path, None)
        elif kind in ("ClearFloatLog", "ClearStringLog"):
            self._run.points = [one for one in self._run.points if one[0] != path]
            self._logs.pop(path, None)
        elif kind == "ClearStringSet":
            self._tags.clear()
        elif kind == "UploadFile":
            self._upload(path, operation)
        elif not kind.startswith("Config"):
            self._run.left_out.append(f"{path}: operations of kind {kind} are not imported")

    def _step(self, path: str, given: Any) -> int:
        """Returns a step. Neptune's may have fractions, or be left out."""
        if given is None:
            step = self._next.get(path, 0)
        else:
            step = round(float(given))
            if step != float(given):
                self._run.left_out.append(f"metric {path}: the step {given} was rounded to {step}")
        self._next[path] = step + 1
        return step

    def _upload(self, path: str, operation: dict[str, Any]) -> None:
        """Take a file that Neptune's client copied beside its operations. Others may be any file of this machine."""
        kept = operation.get("tmp_file_name")
        file = (
            os.path.join(self._place, "upload_path", os.path.basename(str(kept)))
            if kept
            else str(operation.get("file_path"))
        )
        inside = os.path.realpath(self._place) + os.sep
        if not os.path.isfile(file) or not os.path.realpath(file).startswith(inside):
            self._run.left_out.append(f"{path}: the file {file} is not in {self._place}: log it again from there")
            return
        ending = operation.get("ext") or ""
        self._run.artifacts.append((check_path(f"{path}.{ending}" if ending else path), file))

    def _settle(self) -> None:
        run = self._run
        for path, value in self._assigned.items():
            if path.startswith("sys/"):
                run.tags[f"neptune.{path}"] = value
            else:
                run.params[path] = value
                if isinstance(value, float):
                    run.points.append((path, 0, run.ended_ms, value))
        run.tags.update({tag: "true" for tag in sorted(self._tags) if tag.strip()})
        name = self._assigned.get("sys/name")
        if isinstance(name, str) and name and name != "Untitled":
            run.name = name
        if self._assigned.get("sys/failed") is True:
            run.status = "FAILED"
        for path, lines in self._logs.items():
            run.texts[check_path(f"logs/{path}.txt")] = "\n".join(line.rstrip("\n") for line in lines) + "\n"


def _milliseconds(seconds: Any) -> int:
    return round(float(seconds) * 1000) if isinstance(seconds, (int, float)) and abs(seconds) < 1e12 else 0
