"""`MLflowSender`: sends lines to an MLflow server by its REST API, each point once."""

from __future__ import annotations

import math
import time
from typing import Any

from tailrace.errors import Refused, TailraceError, Unreachable
from tailrace.tracking.files import ArtifactLost, sha256_of
from tailrace.tracking.lines import LONGEST_KEY, NAME_TAG
from tailrace.tracking.senders.base import Sender, Sent, Upload
from tailrace.tracking.senders.flat_lines import Point, flat_line
from tailrace.tracking.senders.mlflow_requests import MLflowRequests, error_code, mlflow_name
from tailrace.tracking.senders.mlflow_runs import find_or_make_run

__all__ = ["MLflowSender"]

MOST_METRICS = 1000
MOST_TEXTS = 100
LONGEST_PARAM = 6000
LONGEST_TAG = 5000
"""Limits of one request of MLflow, and of its values."""

LARGEST = 1.7976931348623157e308
"""What MLflow's databases store in place of infinity."""

AT_ONCE, PAUSE = 20, 0.00005
"""Lines that are read without a pause. Python's global lock is free in the pauses, so that the training goes on."""

STATUSES = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}


class MLflowSender(Sender):
    """Sends to an MLflow server.

    A batch whose answer did not arrive may have been stored. Before it is sent again, the latest points are asked for, and
    the history of those metrics that may have them, and what is there is left out.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._requests = MLflowRequests(self.backend)
        self._uncertain = not self.fresh
        self._names: set[str] = set()

    def start(self) -> None:
        if "run_id" not in self.state:
            self.state.update(find_or_make_run(self._requests, self.header, self.directory))

    def send(self, first: int, lines: list[bytes]) -> Sent:
        sent = Sent(first + len(lines))
        points: list[Point] = []
        texts: dict[str, dict[str, Any]] = {"params": {}, "tags": {}}
        for number, line in enumerate(lines, 1):
            if number % AT_ONCE == 0:
                time.sleep(PAUSE)
            try:
                flat = flat_line(line)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                sent.refused.append(f"line {first + number - 1}: {error}")
                continue
            points += flat.points
            for key, value in flat.params.items():
                if texts["params"].setdefault(key, value) != value:
                    sent.refused.append(f"param {key} is {texts['params'][key]!r} already: it can't become {value!r}")
            texts["tags"].update(flat.tags)
            if flat.artifact is not None:
                self._announce(flat.artifact, sent)
            if flat.status:
                self._flush(points, texts, sent)
                self._update_status(flat.status, flat.time_ms, sent)
            elif len(points) >= MOST_METRICS:
                self._flush(points, texts, sent)
        self._flush(points, texts, sent)
        return sent

    def upload(self, one: Upload) -> bool:
        self._requests.put_artifact(self.state["artifact_uri"], one.path, one.source, one.size)
        return True

    def where(self) -> str:
        if "run_id" not in self.state:
            return ""
        return f"{self.backend.address}/#/experiments/{self.state['experiment_id']}/runs/{self.state['run_id']}"

    def _announce(self, line: dict[str, Any], sent: Sent) -> None:
        try:
            digest = sha256_of(line["source"], line["size"], line["changed_ns"])
            sent.uploads.append(Upload(line["path"], line["source"], line["size"], digest))
        except ArtifactLost as error:
            sent.refused.append(f"artifact {line['path']}: {error}")

    def _flush(self, points: list[Point], texts: dict[str, dict[str, Any]], sent: Sent) -> None:
        """Send what has been gathered, in requests of the size that MLflow takes, and empty it."""
        tags = {**self._explained(points, texts), **texts["tags"], **self._infinite(points)}
        for name, values, longest in (("params", texts["params"], LONGEST_PARAM), ("tags", tags, LONGEST_TAG)):
            entries = [_text(key, value, longest) for key, value in values.items()]
            for start in range(0, len(entries), MOST_TEXTS):
                self._log({name: entries[start : start + MOST_TEXTS]}, sent.refused)
        left = self._not_stored(points) if self._uncertain else points
        settled = not self._uncertain or (bool(points) and len(left) == len(points))
        for start in range(0, len(left), MOST_METRICS):
            self._log({"metrics": [_metric(one) for one in left[start : start + MOST_METRICS]]}, sent.refused)
        # Points are sent in order: if none of these was there, none of the later ones is.
        self._uncertain = not settled
        points.clear()
        texts["params"], texts["tags"] = {}, {}

    def _log(self, entries: dict[str, list[dict[str, Any]]], refused: list[str]) -> None:
        """Send a request. What MLflow refuses is found by halves, so that the rest is stored."""
        entries = {name: values for name, values in entries.items() if values}
        if not entries:
            return
        try:
            self._requests.post("runs/log-batch", {"run_id": self.state["run_id"], **entries})
        except Unreachable:
            self._uncertain = True
            raise
        except Refused as error:
            if error.status not in (400, 413) or error_code(error) in ("", "RESOURCE_DOES_NOT_EXIST"):
                raise
            (name, values), *_ = entries.items()
            if len(values) == 1:
                refused.append(f"{name[:-1]} {values[0]['key']}: {error}")
                return
            half = len(values) // 2
            self._log({name: values[:half]}, refused)
            self._log({name: values[half:]}, refused)

    def _not_stored(self, points: list[Point]) -> list[Point]:
        """Returns the points that the server does not have."""
        if not points:
            return []
        run = self._requests.get("runs/get", run_id=self.state["run_id"]).get("run", {})
        latest = {one["key"]: one for one in run.get("data", {}).get("metrics", ()) if isinstance(one, dict)}
        stored: set[tuple[str, str, int, int]] = set()
        for key in {one.key for one in points}:
            name = mlflow_name(key)
            earliest = min(one.step for one in points if one.key == key)
            if name in latest and int(latest[name].get("step", 0)) >= earliest:
                for one in self._requests.history(self.state["run_id"], name):
                    stored.add((name, _compared(one["value"]), int(one.get("step", 0)), int(one["timestamp"])))
        return [
            one for one in points if (mlflow_name(one.key), _compared(one.value), one.step, one.time_ms) not in stored
        ]

    def _update_status(self, status: str, time_ms: int, sent: Sent) -> None:
        if status not in STATUSES:
            sent.refused.append(f"status {status}: expected one of {', '.join(sorted(STATUSES))}")
            return
        body = {"run_id": self.state["run_id"], "status": status}
        if status in ("FINISHED", "FAILED", "KILLED"):
            body["end_time"] = time_ms
        self._requests.post("runs/update", body)

    def _explained(self, points: list[Point], texts: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Returns tags with the names that had to be changed for MLflow. Each is returned once."""
        found = {}
        for key in ({one.key for one in points} | {*texts["params"], *texts["tags"]}) - self._names:
            self._names.add(key)
            if (name := mlflow_name(key)) != key:
                found[f"{NAME_TAG}{name[len(NAME_TAG) - LONGEST_KEY :]}"] = key
        return found

    def _infinite(self, points: list[Point]) -> dict[str, str]:
        """Returns tags that say where a metric is infinite, because MLflow stores the largest number there."""
        kept = self.state.setdefault("infinite", {})
        found = {}
        for one in points:
            if math.isinf(one.value):
                at = f"{'Infinity' if one.value > 0 else '-Infinity'} at step {one.step}"
                before = kept.get(one.key, "")
                if at not in before.split(", ") and len(before) < LONGEST_TAG - 100:
                    kept[one.key] = f"{before}, {at}" if before else at
                found[f"tailrace.infinite.{one.key}"] = kept[one.key]
        return found


def _text(key: str, value: Any, longest: int) -> dict[str, str]:
    text = str(value)
    if len(text) > longest:
        text = f"{text[: longest - 40]}… ({len(text)} characters)"
    return {"key": mlflow_name(key), "value": text}


def _metric(one: Point) -> dict[str, Any]:
    value: Any = one.value
    if not math.isfinite(value):
        value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return {"key": mlflow_name(one.key), "value": value, "timestamp": one.time_ms, "step": one.step}


def _compared(value: Any) -> str:
    """Returns a value of a metric in a form in which equal ones are equal, also NaN and infinity."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TailraceError(f"the history of a metric contains {value!r}") from None
    if math.isinf(number):
        number = math.copysign(LARGEST, number)
    return repr(number)
