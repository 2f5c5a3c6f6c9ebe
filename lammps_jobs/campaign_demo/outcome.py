"""What a campaign came to: decisions, cells and errors, and how two campaigns that began alike differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tailrace.atomic_files import read_json, write_json
from tailrace.handles.client import Client

__all__ = ["FILE", "differences", "find_undisturbed", "of_campaign", "store"]

FILE = "outcome.json"
_MEASURED = ("cost", "why", "expected_gain")
"""Parts of a pick that depend on times that were measured."""


def of_campaign(client: Client, name: str) -> dict[str, Any]:
    """Return all that a campaign decided, calculated and learned, without the times that were measured.

    Two campaigns that began alike have the same outcome. Structures and labels are compared by their checksums, what the
    models learned by the log itself.
    """
    info = client.send("GET", client.path("campaigns", name))
    decisions = client.send("GET", client.path("campaigns", name, "decisions"))["decisions"]
    runs = client.send("GET", client.path("campaigns", name, "runs"))["runs"]
    cells = client.send("GET", client.path("streams", info["stream"], "cells"))["cells"]
    return {
        "state": info["state"],
        "decisions": {str(one["round"]): _decision(client, name, one["round"]) for one in decisions},
        "runs": {
            one["cell"]: {key: one[key] for key in ("round", "stage", "state", "cause", "attempt", "first", "last")}
            for one in runs
        },
        "cells": {one["name"]: _cell(client, info["stream"], one["name"]) for one in cells},
        "models": {one: _metrics(client, one) for one in info["models"]},
    }


def _decision(client: Client, name: str, number: int) -> dict[str, Any]:
    found = client.send("GET", client.path("campaigns", name, "decisions", str(number)))
    picks = [{key: value for key, value in one.items() if key not in _MEASURED} for one in found["picks"]]
    situation = found["situation"]
    kept = {key: situation[key] for key in ("types", "position", "learned_compositions", "asked")}
    return {"action": found["action"], "state": found["state"], "picks": picks, **kept}


def _cell(client: Client, stream: str, name: str) -> dict[str, Any]:
    found = client.send("GET", client.path("streams", stream, "cells", name))
    structure = hashlib.sha256(found["structure"].encode()).hexdigest()
    return {key: found[key] for key in ("status", "composition", "first", "last", "checksums")} | {
        "structure": structure
    }


def _metrics(client: Client, model: str) -> Any:
    return client.send("GET", client.path("models", model))["metrics"]


def store(folder: Path, asked: dict[str, Any], kills: int, found: dict[str, Any], seconds: float) -> None:
    """Write an outcome into the folder of its demo."""
    write_json(folder / FILE, {"asked": asked, "kills": kills, "seconds": round(seconds, 1), "outcome": found})


def find_undisturbed(folder: Path, asked: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest campaign of the demo that was asked for in the same way and never killed: its file and its outcome."""
    numbers = (int(one.name) for one in folder.iterdir() if one.name.isdigit()) if folder.is_dir() else ()
    for number in sorted(numbers, reverse=True):
        path = folder / str(number) / FILE
        stored = read_json(path)
        if stored is not None and not stored["kills"] and stored["asked"] == json.loads(json.dumps(asked)):
            return path, stored["outcome"]
    return None


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Yield what differs between two outcomes: where, and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from differences(one.get(name), other.get(name), f"{at}.{name}" if at else name)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{at}[{place}]")
    elif one != other:
        yield f"{at}: {_brief(one)} and {_brief(other)}"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
