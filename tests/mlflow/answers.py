"""Answers of two servers to the same requests, in a form in which they can be compared.

Identifiers become ``$NAME``, times of the server's clock ``<time>``. What MLflow may leave out if it is empty is left out. Of an error,
the status and the code count, not the text.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from tests.mlflow.request_list import Request, named

TIMES = re.compile(r"(creation|last_updated?)_time(stamp)?(_ms)?\Z")
NOT_COMPARED = ("workspace", "sqlstate", "error_class", "request_id", "message", "next_page_token", "run_uuid")
LISTS_BY = ("key", "name", "path", "alias", "version")

Send = Callable[[str, str, Any], tuple[int, bytes]]
"""Sends a method, a path and a body (bytes, or what JSON can hold), and returns the status and the body of the answer."""


def collect(send: Send) -> dict[str, Any]:
    """Send all requests, and return the answers by the requests' names."""
    known: dict[str, str] = {}
    return {name: _answer(send, request, known) for name, request in named()}


def _answer(send: Send, request: Request, known: dict[str, str]) -> Any:
    body = request.body if isinstance(request.body, bytes) else _filled(request.body, known)
    status, data = send(request.method, _filled(request.path, known), body)
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        return [status, data.decode(errors="replace")[:200] if status == 200 else ""]
    if request.name.startswith(("filter", "order")) and status == 200:
        answer = {"runs": [run["info"]["run_name"] for run in answer.get("runs", [])]}
    for name, path in request.saves.items():
        value = answer
        for part in path:
            value = value.get(part, "") if isinstance(value, dict) else ""
        known[name] = value
    in_order = request.name.startswith(
        ("order", "first page", "next page", "history", "versions in", "models in", "search in")
    )
    return [status, _compared(answer, {value: f"${name}" for name, value in known.items() if value}, in_order)]


def _filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$(\w)\b", lambda found: known[found[1]], value)
    if isinstance(value, list):
        return [_filled(one, known) for one in value]
    return {name: _filled(one, known) for name, one in value.items()} if isinstance(value, dict) else value


def _compared(value: Any, names: dict[str, str], in_order: bool) -> Any:
    if isinstance(value, dict) and value.get("key") == "mlflow.log-model.history":
        return {"key": value["key"], "value": [one["artifact_path"] for one in json.loads(value["value"])]}
    if isinstance(value, dict):
        shown = {
            name: "<time>"
            if TIMES.match(name)
            else names.get(one, one)
            if name == "experiment_id"
            else _compared(one, names, in_order)
            for name, one in value.items()
            if name not in NOT_COMPARED
        }
        return {name: one for name, one in shown.items() if one not in ({}, [], "", None)}
    if isinstance(value, list):
        found = [_compared(one, names, in_order) for one in value]
        by = [one for one in found if isinstance(one, dict) and any(name in one for name in LISTS_BY)]
        ordered = in_order and not (by and "key" in by[0] and "timestamp" not in by[0])
        return found if ordered else sorted(found, key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(value, str):
        value = re.sub(r"(?<=mlflow-artifacts:/)\d+", lambda found: names.get(found[0], found[0]), value)
        for text, name in names.items():
            value = value.replace(text, name) if len(text) > 12 else value
    return value


def without_order(name: str, value: Any) -> Any:
    """Return an answer with its metrics sorted, unless it is a history: databases return those of a run in any order."""
    if isinstance(value, dict):
        return {key: without_order(name, one) for key, one in value.items()}
    if not isinstance(value, list):
        return value
    found = [without_order(name, one) for one in value]
    is_of_keys = bool(found) and isinstance(found[0], dict) and "key" in found[0] and "history" not in name
    return sorted(found, key=lambda one: json.dumps(one, sort_keys=True)) if is_of_keys else found
