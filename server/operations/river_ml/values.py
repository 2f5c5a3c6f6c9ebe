"""Values of a store of django-river-ml, read from their pickles without running anything that the store chose."""

import math
import pickletools
from typing import Any

from django.conf import settings

from server.core.errors import Invalid
from server.core.json_codec import dumps, loads
from server.core.validation import format_value
from server.learning.budgets import sandbox
from server.learning.pickles import loader

FLAVORS = {
    "RegressionFlavor": "regression",
    "BinaryFlavor": "binary",
    "MultiClassFlavor": "multiclass",
    "ClusterFlavor": "cluster",
    "NeighborFlavor": "neighbor",
    "CustomFlavor": "custom",
    "CremeFlavor": "creme",
}
"""Flavor by the name of django-river-ml's class. The classes are not imported: they need not be installed."""

_MODULE = "django_river_ml.flavors"
_HARMLESS = frozenset(
    (
        "PROTO",
        "FRAME",
        "MEMOIZE",
        "BINPUT",
        "LONG_BINPUT",
        "EMPTY_TUPLE",
        "NEWOBJ",
        "EMPTY_DICT",
        "BUILD",
        "NONE",
        "STOP",
    )
)
LONGEST_FLAVOR = 1_000
CALLS = {"predict": "predict_mean", "learn": "learn_mean"}


def flavor(data: bytes) -> str:
    """Return the name of a flavor, from the name of its class alone.

    Raises
    ------
    Invalid
        If the pickle is of anything but an object of one of django-river-ml's flavors.
    """
    names: list[str] = []
    found: list[tuple[str, str]] = []
    try:
        for opcode, argument, _ in pickletools.genops(data[:LONGEST_FLAVOR]):
            if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE"):
                names.append(str(argument))
            elif opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                found.append((module, name))
            elif opcode.name == "STACK_GLOBAL":
                found.append((names[-2], names[-1]))
            elif opcode.name not in _HARMLESS:
                raise Invalid(f"its flavor has the pickle operation {opcode.name}, which no flavor has")
    except (ValueError, IndexError) as exc:
        raise Invalid(f"its flavor is not a pickle: {str(exc)[:200]}") from exc
    if len(found) != 1 or found[0][0] != _MODULE or found[0][1] not in FLAVORS:
        said = ", ".join(f"{module}.{name}" for module, name in found[:5]) or "nothing"
        raise Invalid(f"its flavor refers to {format_value(said)}: expected one of {', '.join(FLAVORS)} of {_MODULE}")
    return FLAVORS[found[0][1]]


def metrics(data: bytes) -> dict[str, float | None]:
    """Return the values of metrics by name; None if one isn't finite.

    Raises
    ------
    Invalid
        If they can't be read.
    """

    def work() -> dict[str, float | None]:
        listed = loader.load_values(data)
        if not isinstance(listed, list) or len(listed) > 100:
            raise Invalid(f"its metrics are a {type(listed).__name__}: expected a list of at most 100 metrics")
        return {type(metric).__name__: _number(metric.get()) for metric in listed}

    found: dict[str, float | None] = _apart(work, "metrics")
    return found


def calls(data: bytes) -> dict[str, dict[str, float | None]]:
    """Return the number of calls and their mean duration (ns) by kind.

    Raises
    ------
    Invalid
        If they can't be read.
    """

    def work() -> dict[str, dict[str, float | None]]:
        stats = loader.load_values(data)
        if not isinstance(stats, dict) or not all(name in stats for name in CALLS.values()):
            raise Invalid(f"its statistics have no {' and '.join(CALLS.values())}")
        return {
            kind: {"n_calls": _number(stats[name].n), "mean_duration": _number(stats[name].get())}
            for kind, name in CALLS.items()
        }

    found: dict[str, dict[str, float | None]] = _apart(work, "statistics")
    return found


def prediction(data: bytes) -> tuple[str, dict[str, Any], Any]:
    """Return the model, the features and the prediction that wait for a label.

    Raises
    ------
    Invalid
        If they can't be read.
    """
    kept = loader.load_values(data, max_bytes=settings.TAILRACE.max_point_bytes * 4 + 10_000)
    if not isinstance(kept, dict) or not {"model", "features", "prediction"} <= set(kept):
        raise Invalid("it has no model, features and prediction")
    name, features = kept["model"], kept["features"]
    if not isinstance(name, str) or type(features) is not dict:
        raise Invalid(f"its model is {format_value(name)} and its features a {type(features).__name__}")
    return name, features, loads(dumps(kept["prediction"]))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _apart(work: Any, what: str) -> Any:
    """Do the work in a child process, because it calls methods of objects whose state the store chose."""
    config = settings.TAILRACE

    def encoded(step: sandbox.Step) -> bytes:
        step(config.call_seconds)
        try:
            return dumps(work())
        except Invalid:
            raise
        except Exception as exc:
            raise Invalid(f"its {what} can't be read: {type(exc).__name__}: {str(exc)[:200]}") from exc

    try:
        return loads(sandbox.run(encoded, seconds=config.block_seconds, megabytes=config.call_memory_mb))
    except (sandbox.Exceeded, sandbox.Failed) as exc:
        raise Invalid(f"its {what} can't be read: {exc}") from exc
