"""Reads runs that the library ``wandb`` kept on disk: ``wandb/offline-run-*``, and ``wandb/run-*``."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from typing import Any

from tailrace.errors import TailraceError
from tailrace.tracking.importers.imported import ImportedRun, Unreadable, is_folder, is_plain, run_uid
from tailrace.tracking.importers.wandb_records import fields, read_records

__all__ = ["is_wandb", "read_wandb"]

HISTORY, SUMMARY, CONFIG, RUN, EXIT = 2, 3, 5, 17, 18
"""Fields of a record."""

SPECIAL = {"NaN", "Infinity", "-Infinity"}


def is_wandb(path: str) -> bool:
    """Whether a directory or a file is one of W&B."""
    return bool(_logs(path))


def read_wandb(path: str) -> Iterator[ImportedRun]:
    """Yields the runs.

    Raises
    ------
    Unreadable
        If a file is damaged.
    """
    for log in _logs(path):
        try:
            yield _Reader(log).read()
        except (OSError, ValueError, TypeError) as error:
            if isinstance(error, TailraceError):
                raise
            raise Unreadable(f"{log} can't be read: {error}") from None


def _logs(path: str) -> list[str]:
    if os.path.isfile(path):
        return [path] if path.endswith(".wandb") else []
    base = glob.escape(path)
    found = glob.glob(os.path.join(base, "run-*.wandb"))
    for name in ("offline-run-*", "run-*"):
        for place in filter(is_folder, glob.glob(os.path.join(base, name))):
            found += glob.glob(os.path.join(glob.escape(place), "run-*.wandb"))
    return sorted(filter(is_plain, set(found)))


class _Reader:
    """Reads the records of one run."""

    def __init__(self, log: str) -> None:
        self._log = log
        self._run = ImportedRun("", os.path.dirname(log), status="KILLED")
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._seen: set[str] = set()
        self._step = 0
        self._identity = ("", "", os.path.basename(log))

    def read(self) -> ImportedRun:
        run = self._run
        for record in read_records(self._log):
            for number, value in fields(record):
                if not isinstance(value, bytes):
                    continue
                if number == HISTORY:
                    self._history(value)
                elif number == SUMMARY:
                    self._items(value, 1, self._summary)
                elif number == CONFIG:
                    self._items(value, 1, self._config)
                elif number == RUN:
                    self._about(value)
                elif number == EXIT:
                    codes = [one for field, one in fields(value) if field == 1]
                    run.status = "FINISHED" if not any(codes) else "FAILED"
        run.uid = run_uid("wandb", *self._identity)
        for key, value in _flat(self._config):
            if not key.startswith("_wandb"):
                run.params[key] = value
        for key, value in _flat(self._summary):
            if key not in self._seen and not key.startswith("_"):
                if _is_number(value):
                    run.points.append((key, self._step, run.ended_ms or run.started_ms, _number(value)))
                elif isinstance(value, (str, bool)):
                    run.tags[f"wandb.summary.{key}"] = value
        run.ended_ms = run.ended_ms or run.started_ms
        run.add_files(os.path.join(os.path.dirname(self._log), "files"), "wandb")
        return run

    def _about(self, message: bytes) -> None:
        run = self._run
        entity = project = identifier = ""
        for number, value in fields(message):
            if number == 1:
                identifier = _text(value)
            elif number == 2:
                entity = _text(value)
            elif number == 3:
                project = _text(value)
            elif number == 4 and isinstance(value, bytes):
                self._items(value, 1, self._config)
            elif number == 5 and isinstance(value, bytes):
                self._items(value, 1, self._summary)
            elif number == 8:
                run.name = _text(value)
            elif number == 9:
                run.tags["mlflow.note.content"] = _text(value)
            elif number == 10:
                run.tags[_text(value)] = "true"
            elif number == 6:
                run.tags["wandb.group"] = _text(value)
            elif number == 17 and isinstance(value, bytes):
                time = dict(fields(value))
                run.started_ms = int(time.get(1, 0)) * 1000 + int(time.get(2, 0)) // 1_000_000
        run.experiment = project or run.experiment
        run.tags["wandb.run"] = "/".join(one for one in (entity, project, identifier) if one)
        if identifier:
            self._identity = (entity, project, identifier)
        run.name = run.name or identifier

    def _history(self, message: bytes) -> None:
        row: dict[str, Any] = {}
        self._items(message, 1, row)
        for number, value in fields(message):
            if number == 2 and isinstance(value, bytes):
                self._step = int(dict(fields(value)).get(1, 0))
        step = row.get("_step")
        self._step = int(step) if isinstance(step, (int, float)) else self._step
        time = row.get("_timestamp")
        time_ms = round(time * 1000) if isinstance(time, (int, float)) and abs(time) < 1e12 else self._run.started_ms
        self._run.ended_ms = max(self._run.ended_ms, time_ms)
        for key, value in _flat(row):
            if key in ("_step", "_timestamp", "_runtime") or key.startswith("_wandb"):
                continue
            if _is_number(value):
                self._seen.add(key)
                self._run.points.append((key, self._step, time_ms, _number(value)))
            else:
                self._left_out(f"{key}: values that are not numbers are not imported")

    def _items(self, message: bytes, wanted: int, into: dict[str, Any]) -> None:
        """Take the items of a message. The keys of an item are joined by periods."""
        for number, value in fields(message):
            if number != wanted or not isinstance(value, bytes):
                continue
            key, nested, found = "", [], None
            for field, one in fields(value):
                if field == 1:
                    key = _text(one)
                elif field == 2:
                    nested.append(_text(one))
                elif field in (8, 16):
                    found = _json(one)
                elif field == 4:
                    found = bool(one)
                elif field == 5:
                    found = (int(one) >> 1) ^ -(int(one) & 1)
                elif field == 6:
                    found = one
                elif field == 7:
                    found = _text(one)
            into[".".join([*([key] if key else []), *nested])] = found

    def _left_out(self, why: str) -> None:
        if why not in self._run.left_out:
            self._run.left_out.append(why)


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and "_type" not in value:
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)) or (
        isinstance(value, str) and value in SPECIAL
    )


def _number(value: Any) -> float:
    return float(value.replace("Infinity", "inf")) if isinstance(value, str) else float(value)


def _text(value: int | bytes | float) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _json(value: int | bytes | float) -> Any:
    try:
        return json.loads(_text(value))
    except (ValueError, RecursionError):
        return None
