"""Reads the directory ``mlruns`` of MLflow's file store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from tailrace.tracking.importers.imported import ImportedRun, Unreadable, is_folder, is_plain, run_uid

__all__ = ["is_mlruns", "read_mlruns"]

STATUSES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
LARGEST_META = 10**6
LARGEST_TEXT = 10**6
UID = re.compile(r"[0-9a-f]{32}")


def is_mlruns(path: str) -> bool:
    """Whether a directory is one of MLflow's file store."""
    return any(True for _ in _experiments(path))


def read_mlruns(path: str) -> Iterator[ImportedRun]:
    """Yields the runs. Deleted ones are left out.

    Raises
    ------
    Unreadable
        If a file is damaged.
    """
    for experiment in _experiments(path):
        about = _meta(os.path.join(experiment, "meta.yaml"))
        for name in sorted(os.listdir(experiment)):
            run = os.path.join(experiment, name)
            if is_folder(run) and is_plain(os.path.join(run, "meta.yaml")) and is_folder(os.path.join(run, "metrics")):
                meta = _meta(os.path.join(run, "meta.yaml"))
                if meta.get("lifecycle_stage") != "deleted":
                    yield _read_run(run, meta, about.get("name", ""))


def _experiments(path: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return
    for name in names:
        place = os.path.join(path, name)
        if name not in ("models", ".trash") and is_folder(place) and is_plain(os.path.join(place, "meta.yaml")):
            yield place


def _read_run(place: str, meta: dict[str, str], experiment: str) -> ImportedRun:
    given = meta.get("run_id") or meta.get("run_uuid") or os.path.basename(place)
    run = ImportedRun(
        given if UID.fullmatch(given) else run_uid("mlflow", given), place, experiment, meta.get("run_name", ""),
        meta.get("user_id", ""), _whole(meta.get("start_time")), _whole(meta.get("end_time")),
        STATUSES.get(meta.get("status", ""), meta.get("status", "") if meta.get("status") in STATUSES.values() else "FINISHED"),
    )  # fmt: skip
    for key, path in _files(os.path.join(place, "params")):
        run.params[key] = _text(path)
    for key, path in _files(os.path.join(place, "tags")):
        run.tags[key] = _text(path)
    for key, path in _files(os.path.join(place, "metrics")):
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                parts = line.split()
                try:
                    run.points.append((key, int(parts[2]) if len(parts) > 2 else 0, int(parts[0]), float(parts[1])))
                except (ValueError, IndexError):
                    run.left_out.append(f"{path}, line {number}: expected time, value and step, got {line[:60]!r}")
    run.add_files(os.path.join(place, "artifacts"))
    return run


def _files(directory: str) -> Iterator[tuple[str, str]]:
    """Yields the key and the path of each regular file. Keys may contain slashes."""
    if not is_folder(directory):
        return
    for place, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            path = os.path.join(place, name)
            if is_plain(path):
                yield os.path.relpath(path, directory).replace(os.sep, "/"), path


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(LARGEST_TEXT)


def _meta(path: str) -> dict[str, str]:
    """Returns the fields of a file of plain YAML: ``name: value`` in each line."""
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read(LARGEST_META)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} can't be read: {error}") from None
    found = {}
    for line in content.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "-", "#")):
            found[name.strip()] = _scalar(value.strip())
    return found


def _scalar(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        import json

        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return "" if text in ("null", "~") else text


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else 0
