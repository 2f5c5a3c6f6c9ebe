"""`ImportedRun`: a run that another tool kept, as an importer reads it, and how it becomes a file of the spool."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tailrace.errors import TailraceError
from tailrace.tracking.backends import Backend
from tailrace.tracking.files import check_path
from tailrace.tracking.lines import LARGEST_STEP, Names, json_line, metric_value, pieces, text_value
from tailrace.tracking.spool_directory import LINES

__all__ = ["ImportedRun", "Unreadable", "is_folder", "is_plain", "run_uid", "to_spool"]


class Unreadable(TailraceError):
    """What is to be imported is damaged, or is something else. The message names the file."""


@dataclass
class ImportedRun:
    """A run that another tool kept.

    Attributes
    ----------
    uid
        Its identifier here. The same run always gets the same.
    source
        Where it was found.
    experiment, name, user
        As the tool has them; empty if it has none.
    started_ms, ended_ms
        Unix milliseconds; 0 if not known.
    status
        ``FINISHED``, ``FAILED``, ``KILLED`` or ``RUNNING``.
    params, tags
        Texts by key.
    points
        Key, step, time in Unix milliseconds, and value of each point.
    artifacts
        Path among the artifacts, and file.
    texts
        Path among the artifacts, and content of files that are made of the tool's text series.
    left_out
        What could not be imported, and why.
    """

    uid: str
    source: str
    experiment: str = ""
    name: str = ""
    user: str = ""
    started_ms: int = 0
    ended_ms: int = 0
    status: str = "FINISHED"
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    points: list[tuple[str, int, int, Any]] = field(default_factory=list)
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add_files(self, directory: str, above: str = "") -> None:
        """Add all regular files below a directory as artifacts. Links are left out, also in its place: they may lead anywhere."""
        if os.path.islink(directory):
            self.left_out.append(f"{directory}: it is a link")
            return
        for place, names, files in os.walk(directory):
            names.sort()
            for name in sorted(files):
                path = os.path.join(place, name)
                inner = os.path.relpath(path, directory)
                try:
                    if not stat.S_ISREG(os.lstat(path).st_mode):
                        self.left_out.append(f"{path}: it is not a regular file")
                        continue
                    self.artifacts.append((check_path(os.path.join(above, inner)), path))
                except (OSError, ValueError) as error:
                    self.left_out.append(f"{path}: {error}")


def is_plain(path: str) -> bool:
    """Whether a path is a regular file, and no link to one: what others give away may have links to files of whoever imports it."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def is_folder(path: str) -> bool:
    """Whether a path is a directory, and no link to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def run_uid(*parts: str) -> str:
    """Returns the identifier of a run of another tool."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def to_spool(run: ImportedRun, place: str, backends: Sequence[Backend], experiment: str) -> str:
    """Write a run into the spool. Returns the path of the file.

    Importing a run again sends it again, and stores it once.

    Raises
    ------
    OSError
        If the spool cannot be written.
    """
    directory = os.path.join(place, run.uid)
    os.makedirs(os.path.join(directory, "files"), exist_ok=True)
    names = Names()
    lines = [
        *_texts("params", run.params, names), *_texts("tags", {**run.tags, "tailrace.imported": run.source}, names),
        *_points(run, names), *_artifacts(run, directory),
    ]  # fmt: skip
    if run.status != "RUNNING":
        lines.append(json_line({"kind": "status", "status": run.status, "time_ms": run.ended_ms or run.started_ms}))
    digest = hashlib.sha256(b"".join(lines)).hexdigest()[:16]
    header = {
        "kind": "run", "uid": run.uid, "experiment": experiment or run.experiment or "imported", "name": run.name[:500],
        "parent": "", "started_ms": run.started_ms, "user": run.user, "writer": f"import-{digest}",
        "main": True, "host": "", "process": 0, "backends": [one.as_json() for one in backends],
    }  # fmt: skip
    path = os.path.join(directory, f"import-{digest}{LINES}")
    part = f"{path}.{os.getpid()}.part"
    with open(part, "wb") as file:
        file.write(json_line(header))
        file.writelines(lines)
    os.replace(part, path)
    return path


def _texts(kind: str, given: dict[str, Any], names: Names) -> list[bytes]:
    values = {names(key): text_value(value)[0] for key, value in given.items() if value is not None}
    explained = names.explained(given)
    found = [json_line({"kind": "tags", "values": explained})] if explained else []
    return found + [json_line({"kind": kind, "values": piece}) for piece in pieces(values)]


def _points(run: ImportedRun, names: Names) -> list[bytes]:
    """Returns lines of metrics. Points that follow each other at one step and time share a line."""
    found: list[bytes] = []
    gathered: dict[str, Any] = {}
    at: tuple[int, int] | None = None

    def close() -> None:
        if gathered and at is not None:
            line = {"kind": "metrics", "step": at[0], "time_ms": at[1]}
            found.extend(json_line({**line, "values": piece}) for piece in pieces(gathered))
            gathered.clear()

    for key, step, time_ms, value in run.points:
        if not -LARGEST_STEP <= step <= LARGEST_STEP or not -LARGEST_STEP <= time_ms <= LARGEST_STEP:
            run.left_out.append(f"metric {key}: its step {step} or its time has more than 64 bits")
            continue
        try:
            number = metric_value(value)
        except ValueError as error:
            run.left_out.append(f"metric {key} at step {step}: {error}")
            continue
        if at != (step, time_ms) or names(key) in gathered:
            close()
            at = (step, time_ms)
        gathered[names(key)] = number
    close()
    explained = names.explained({key for key, *_ in run.points})
    return found + ([json_line({"kind": "tags", "values": explained})] if explained else [])


def _artifacts(run: ImportedRun, directory: str) -> list[bytes]:
    files = list(run.artifacts)
    for number, (inner, content) in enumerate(run.texts.items()):
        path = os.path.join(directory, "files", f"text-{number}")
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(content)
        os.utime(path, (1, 1))  # the same run must give the same lines each time
        files.append((inner, path))
    found = []
    for inner, path in files:
        try:
            facts = os.stat(path)
            line = {
                "kind": "artifact", "path": check_path(inner), "source": os.path.abspath(path), "size": facts.st_size,
                "changed_ns": facts.st_mtime_ns,
            }  # fmt: skip
        except (OSError, ValueError) as error:
            run.left_out.append(f"artifact {inner}: {error}")
            continue
        found.append(json_line(line))
    return found
