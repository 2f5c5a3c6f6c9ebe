"""Makes a run in MLflow, or finds it: one run, however many processes log to it."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from tailrace.errors import Refused, Unreachable
from tailrace.tracking.claims import Claim
from tailrace.tracking.lines import text_value
from tailrace.tracking.senders.mlflow_requests import MLflowRequests, error_code, mlflow_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RUN_TAG", "find_or_make_run"]

RUN_TAG = "tailrace.run"
"""Tag with the identifier that the client chose. MLflow chooses one of its own."""

PATIENCE_MS = 600_000
"""How long other ranks wait for the run of rank 0."""


def find_or_make_run(requests: MLflowRequests, header: Mapping[str, Any], directory: str) -> dict[str, str]:
    """Returns the identifier of the run at the server, its experiment, and where its artifacts are.

    Raises
    ------
    TailraceError
        If it is not known yet. Try again.
    """
    experiment = _experiment(requests, header["experiment"])
    shared = os.path.join(directory, f"{requests.backend.key}.run")
    if run := _read(shared):
        return _known(requests, run)
    if found := _search(requests, experiment, header["uid"]):
        _write(shared, found["run_id"])
        return found
    if header.get("rank") and time.time() * 1000 - header["started_ms"] < PATIENCE_MS:
        raise Unreachable(f"{requests.backend.address}: rank 0 has not made the run yet")
    claim = Claim(f"{shared}.claim")
    try:
        ours = claim.take()
    except OSError:
        ours = True  # a spool that nobody can write cannot be shared, either
    if not ours:
        raise Unreachable(f"{requests.backend.address}: another process is making the run")
    try:
        found = _search(requests, experiment, header["uid"]) or _make(requests, experiment, header)
        _write(shared, found["run_id"])
    finally:
        claim.give_up()
    return found


def _experiment(requests: MLflowRequests, name: str) -> str:
    for _ in range(2):
        try:
            found = requests.get("experiments/get-by-name", experiment_name=name)["experiment"]
            if found.get("lifecycle_stage") == "deleted":
                raise Refused(
                    f"{requests.backend.address}: the experiment {name!r} is deleted there: restore it, or use another name",
                    409,
                )
            return str(found["experiment_id"])
        except Refused as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
        except KeyError:
            raise _odd(requests) from None
        try:
            return str(requests.post("experiments/create", {"name": name})["experiment_id"])
        except Refused as error:
            if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
        except KeyError:
            raise _odd(requests) from None
    raise Unreachable(f"{requests.backend.address}: the experiment {name!r} can't be made now")


def _search(requests: MLflowRequests, experiment: str, uid: str) -> dict[str, str] | None:
    """Returns the run with this identifier. If several processes made one at the same time, it is the same for all."""
    body = {
        "experiment_ids": [experiment], "filter": f"tags.`{RUN_TAG}` = '{uid}'", "run_view_type": "ALL", "max_results": 50,
    }  # fmt: skip
    found = [_described(requests, run) for run in requests.post("runs/search", body).get("runs", ())]
    return min(found, key=lambda run: run["run_id"], default=None)


def _make(requests: MLflowRequests, experiment: str, header: Mapping[str, Any]) -> dict[str, str]:
    tags = {RUN_TAG: header["uid"], "mlflow.user": header.get("user", "")}
    if parent := header.get("parent"):
        above = _search(requests, experiment, parent)
        tags["tailrace.parent"] = parent
        if above is not None:
            tags["mlflow.parentRunId"] = above["run_id"]
    body = {
        "experiment_id": experiment,
        "start_time": header["started_ms"],
        "run_name": header.get("name") or "",
        "tags": [{"key": mlflow_name(key), "value": text_value(value)[0][:5000]} for key, value in tags.items()],
    }
    return _described(requests, requests.post("runs/create", body).get("run"))


def _known(requests: MLflowRequests, run: str) -> dict[str, str]:
    return _described(requests, requests.get("runs/get", run_id=run).get("run"))


def _described(requests: MLflowRequests, run: Any) -> dict[str, str]:
    try:
        info = run["info"]
        return {
            "run_id": str(info["run_id"]), "experiment_id": str(info["experiment_id"]),
            "artifact_uri": str(info.get("artifact_uri", "")),
        }  # fmt: skip
    except (KeyError, TypeError):
        raise _odd(requests) from None


def _odd(requests: MLflowRequests) -> Unreachable:
    return Unreachable(f"{requests.backend.address}: its answer is not one of MLflow's: is this an MLflow server?")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(path: str, run: str) -> None:
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump({"run_id": run}, file)
        os.replace(part, path)
    except OSError:
        pass  # the tag finds it, too
