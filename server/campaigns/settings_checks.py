"""Checks of a campaign's settings: each error names the field, its value and what was expected."""

import math
from dataclasses import asdict, fields
from typing import Any

from server.calculations import clusters, programs, resources
from server.campaigns import compositions, formulas
from server.campaigns.models import Campaign, Composition
from server.campaigns.policies.situation import Thresholds
from server.cells.canonical_json import canonical
from server.core.errors import Conflict, Invalid
from server.core.validation import format_value
from server.learning import registry as models
from server.streams.models import Stream

MOST_COMPOSITIONS, MOST_MODELS = 100, 20
LARGEST_PAUSE = 30 * 86_400
LARGEST_PROGRAMS = 2**16
"""Most bytes of JSON of a campaign's programs, with their parameters. Each decision stores them, and the list of campaigns shows them."""
STAGES = {"explore": "glass", "augment": "deform", "label": "bond-labels"}
"""Stage to the program that runs it unless the campaign names another one."""
_SHARES = ("coverage", "failed", "gain")
_WHOLE = {"rounds_without_gain": 100, "batch": 1000, "least_families": 1000}


def check_models(names: Any, stream: Stream) -> list[str]:
    """Return the names of models, all of the stream, the first of which decides."""
    if not isinstance(names, list) or not 0 < len(names) <= MOST_MODELS:
        raise Invalid(
            f"models is {format_value(names)}: expected a list of 1 to {MOST_MODELS} names of models, the first of which decides",
            field="models",
        )
    for index, name in enumerate(names):
        model = models.find(name)
        if model.stream_id != stream.pk:
            raise Invalid(
                f"models[{index}] is {name}, a model of stream {model.stream.name}: expected one of stream {stream.name}",
                field=f"models[{index}]",
            )
        if model.flavor != "regression":
            raise Conflict(
                f"model {name} is a {model.flavor} model: expected a regression model", field=f"models[{index}]"
            )
    if len(set(names)) < len(names):
        raise Invalid("models names a model twice", field="models")
    return names


def check_compositions(names: Any) -> list[Composition]:
    """Return the compositions, in their order."""
    if not isinstance(names, list) or not 0 < len(names) <= MOST_COMPOSITIONS:
        raise Invalid(
            f"compositions is {format_value(names)}: expected a list of 1 to {MOST_COMPOSITIONS} names of compositions",
            field="compositions",
        )
    found = [compositions.find(name, f"compositions[{index}]") for index, name in enumerate(names)]
    for index, one in enumerate(found):
        if one in found[:index]:
            raise Invalid(
                f"compositions[{index}] is {format_value(names[index])}: {one.name} is in the list already",
                field=f"compositions[{index}]",
            )
    return found


def check_targets(targets: Any, found: list[Composition]) -> dict[str, float]:
    """Return bond type to RMSE in eV. Each type must be possible in one of the compositions."""
    if not isinstance(targets, dict) or not targets:
        raise Invalid(
            f'targets is {format_value(targets)}: expected bond types and the RMSE to reach in eV, such as {{"Zr-Cu": 0.05}}',
            field="targets",
        )
    possible = {
        f"{one}-{other}" for elements in (formulas.parse(composition.name).shares for composition in found)
        for one in elements for other in elements if one >= other
    }  # fmt: skip
    for kind, value in targets.items():
        field = f"targets.{kind}"
        if kind not in possible:
            raise Invalid(
                f"targets has the bond type {format_value(kind)}: expected one of {', '.join(sorted(possible)[:30])}, as in the "
                "compositions",
                field=field,
            )
        _number(value, field, 0, 1000, above=True)
    return {kind: float(value) for kind, value in targets.items()}


def check_budget(budget: Any) -> dict[str, Any]:
    """Return the most calculations and node-hours; None for no limit."""
    found: dict[str, Any] = {"calculations": None, "node_hours": None}
    for name, value in _object(budget, "budget", found).items():
        if value is not None:
            is_whole = name == "calculations"
            _number(value, f"budget.{name}", 0, 1e9, whole=is_whole, above=True)
            found[name] = value if is_whole else float(value)
    return found


def check_thresholds(thresholds: Any) -> dict[str, Any]:
    """Return all thresholds, those that were not given with their defaults."""
    found = asdict(Thresholds())
    for name, value in _object(thresholds, "thresholds", {field.name for field in fields(Thresholds)}).items():
        if name in _SHARES:
            _number(value, f"thresholds.{name}", 0, 1)
            found[name] = float(value)
        else:
            _number(value, f"thresholds.{name}", 1, _WHOLE[name], whole=True)
            found[name] = value
    return found


def check_clusters(names: Any) -> list[str]:
    """Return the names of clusters that may run it; empty for any."""
    if not isinstance(names, list):
        raise Invalid(f"clusters is {format_value(names)}: expected a list of names of clusters", field="clusters")
    return [clusters.find(name).name for name in names]


def check_programs(wanted: Any, on: list[str]) -> dict[str, dict[str, Any]]:
    """Return stage to program, parameters and resources. One of the clusters, or any, must offer each program."""
    found = {}
    for stage, default in STAGES.items():
        given = _object(
            _object(wanted, "programs", STAGES).get(stage, {}),
            f"programs.{stage}",
            ("program", "parameters", "resources"),
        )
        name, where = given.get("program", default), f"programs.{stage}"
        if not isinstance(name, str):
            raise Invalid(
                f"{where}.program is {format_value(name)}: expected the name of a program", field=f"{where}.program"
            )
        offered = {one["name"] for one in programs.find(name)["clusters"]}
        if on and not offered & set(on):
            raise Invalid(
                f"{where}.program is {name}, which {', '.join(sorted(offered))} offers, and none of the campaign's clusters "
                f"({', '.join(on)})",
                field=f"{where}.program",
            )
        found[stage] = {"program": name} | {
            "parameters": _object(given.get("parameters", {}), f"{where}.parameters", None),
            "resources": resources.check(given.get("resources", {}), f"{where}.resources"),
        }
    canonical(found, "programs", LARGEST_PROGRAMS)
    return found


def check_pause(value: Any) -> int:
    """Return the seconds between the end of a round and the next decision."""
    _number(value, "pause_between_rounds", 0, LARGEST_PAUSE, whole=True)
    return int(value)


def check_approval(value: Any) -> str:
    """Return the approval rule."""
    if value not in Campaign.APPROVALS:
        raise Invalid(
            f"approval is {format_value(value)}: expected every (round), new (rounds with a new composition), or none",
            field="approval",
        )
    return str(value)


def _object(value: Any, field: str, names: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{field} is {format_value(value)}: expected an object", field=field)
    for name in value:
        if names is not None and name not in names:
            raise Invalid(
                f"{field} has {format_value(name)}: expected some of {', '.join(sorted(names))}",
                field=f"{field}.{name}",
                code="unknown_field",
            )
    return value


def _number(value: Any, field: str, low: float, high: float, *, whole: bool = False, above: bool = False) -> None:
    is_number = type(value) is int or (type(value) is float and not whole)
    if not is_number or not math.isfinite(value) or not low <= value <= high or (above and value == low):
        what = "a whole number" if whole else "a number"
        raise Invalid(
            f"{field} is {format_value(value)}: expected {what} {'above' if above else 'from'} {low:g} to {high:g}",
            field=field,
        )
