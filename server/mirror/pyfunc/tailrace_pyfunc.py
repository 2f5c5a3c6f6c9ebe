"""Loads a mirrored Tailrace model for ``mlflow.pyfunc``.

Predictions are computed by a process of its own, whose arithmetic is pinned before NumPy is loaded, as the server's is. So they are
the server's, bit for bit, whatever this process has loaded. The model's state is read by Tailrace's restricted loader, which
the process finds in ``loader.zip`` beside the state; nothing else is unpickled.

``TAILRACE_PYTHON`` names another Python to predict with, one that has the packages which the model requires.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
import weakref
from typing import Any

__all__ = ["Predictor"]

START = "the process that predicts has ended with {}: its standard error says why"


def _load_pyfunc(data_path: str, model_config: Any = None) -> Predictor:  # the name that MLflow calls
    return Predictor(data_path)


class Predictor:
    """A model at one position of its log.

    Parameters
    ----------
    folder
        The folder with ``model.tailrace``, ``tailrace.json`` and ``loader.zip``.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(folder)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        with open(os.path.join(self._folder, "tailrace.json"), encoding="utf-8") as file:
            self.about = json.load(file)
        with self._lock:
            self._running()

    def predict(self, model_input: Any, params: Any = None) -> list[Any]:
        """Return the prediction for each row of a DataFrame, each dict of a list, or for one dict of features.

        Parameters
        ----------
        model_input
            A pandas DataFrame with a column for each feature, of which missing values are left out; a list of dicts; or a dict.

        Raises
        ------
        ValueError
            If it is none of these, or if the model can't predict a point. The message says why.
        """
        points = _points(model_input)
        try:
            request = json.dumps({"points": points})
        except TypeError as error:
            raise ValueError(f"a feature can't be sent: {error}: expected numbers, texts and booleans") from None
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            try:
                process.stdin.write(f"{request}\n")
                process.stdin.flush()
            except OSError:
                pass  # it has ended: its exit code says why
            found: list[Any] = _read(process)["predictions"]
            return found

    def _running(self) -> subprocess.Popen[str]:
        """Return the process that predicts. One that has ended, or is that of a parent process, is replaced."""
        process = self._process
        if process is not None and self._owner == os.getpid() and process.poll() is None:
            return process
        command = [
            os.environ.get("TAILRACE_PYTHON") or sys.executable,
            os.path.join(self._folder, "loader.zip"),
            os.path.join(self._folder, "model.tailrace"),
            os.path.join(self._folder, "tailrace.json"),
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self._process, self._owner = process, os.getpid()
        weakref.finalize(self, _end, process, self._owner)
        for warning in _read(process).get("warnings", ()):
            warnings.warn(warning, stacklevel=4)
        return process

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(Predictor(state["folder"]).__dict__)


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the answer of a process.

    Raises
    ------
    ValueError
        If a point can't be predicted.
    RuntimeError
        If the model can't be loaded, or the process has ended.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(START.format(process.wait()))
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise (ValueError if answer["kind"] == "ValueError" else RuntimeError)(answer["error"])
    return answer


def _end(process: subprocess.Popen[str], owner: int) -> None:
    if owner != os.getpid():
        return
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.close()
    except OSError:
        pass
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _points(given: Any) -> list[dict[str, Any]]:
    """Return points as dicts of features, from a DataFrame, a list of dicts, one dict, or one dict of columns."""
    if hasattr(given, "to_dict") and hasattr(given, "columns"):
        rows = given.to_dict("records")
        return [{str(name): _plain(value) for name, value in row.items() if not _is_missing(value)} for row in rows]
    if isinstance(given, dict) and given and all(isinstance(column, (list, tuple)) for column in given.values()):
        if len({len(column) for column in given.values()}) != 1:
            raise ValueError("the columns are not of the same length")
        given = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    if isinstance(given, dict):
        given = [given]
    if isinstance(given, (list, tuple)) and all(isinstance(point, dict) for point in given):
        return [{str(name): _plain(value) for name, value in point.items()} for point in given]
    raise ValueError(
        f"the input is a {type(given).__name__}: expected a DataFrame with a column for each feature, a list of dicts of features, "
        "or one dict"
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
