"""Steps of a request: a single one, a list with parents, or a scan."""

from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from typing import Any

from server.core.errors import Invalid, TooLarge
from server.core.validation import NAME, format_value

MOST_STEPS = 2_000
MOST_LINKS = 10_000
"""Most parents of all steps together. Storing them holds the lock for writing: 10,000 take a third of a second."""
SINGLE = "main"


def of_request(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that a request describes: each with ``name``, ``parameters``, ``parents`` and what else it sets.

    Raises
    ------
    Invalid
        If names repeat, a parent is unknown, parents go in a circle, or a scan has no or too many values.
    """
    if asked.get("steps") is not None and asked.get("scan") is not None:
        raise Invalid("steps and scan are given both: expected one of them", field="scan")
    if asked.get("scan") is not None:
        steps = _scanned(asked["scan"])
    elif asked.get("steps") is not None:
        steps = asked["steps"]
    else:
        steps = [{"name": SINGLE}]
    if not 0 < len(steps) <= MOST_STEPS:
        raise TooLarge(f"the calculation has {len(steps)} steps: expected 1 to {MOST_STEPS}", field="steps")
    _check(steps)
    return steps


def _check(steps: list[dict[str, Any]]) -> None:
    links = sum(len(step.get("parents") or ()) for step in steps)
    if links > MOST_LINKS:
        raise TooLarge(
            f"the steps have {links} parents together: the most allowed is {MOST_LINKS}; a step in between can collect the "
            "results of many",
            field="steps",
        )
    places: dict[str, int] = {}
    for n, step in enumerate(steps):
        if step["name"] in places:
            raise Invalid(
                f"steps[{n}].name is {format_value(step['name'])}, as that of steps[{places[step['name']]}]: names of steps differ",
                field=f"steps[{n}].name",
            )
        places[step["name"]] = n
    graph = {}
    for n, step in enumerate(steps):
        parents = step.get("parents") or []
        for parent in parents:
            if parent not in places:
                raise Invalid(
                    f"steps[{n}].parents has {format_value(parent)}: no step has this name; expected names of "
                    f"{', '.join(list(places)[:20])}",
                    field=f"steps[{n}].parents",
                )
        if len(set(parents)) < len(parents):
            raise Invalid(f"steps[{n}].parents names a step twice", field=f"steps[{n}].parents")
        graph[step["name"]] = set(parents)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        circle = " → ".join(exc.args[1][:20])
        raise Invalid(f"the parents of steps go in a circle: {circle}", field="steps", code="cycle") from exc


def _scanned(scan: dict[str, Any]) -> list[dict[str, Any]]:
    parameter = scan["parameter"]
    values = _values(scan)
    steps: list[dict[str, Any]] = []
    digits = len(str(len(values)))
    for n, value in enumerate(values, 1):
        shown = value if isinstance(value, str) else format_value(value)
        name = f"{n:0{digits}d}-{shown}"
        step: dict[str, Any] = {
            "name": name if NAME.match(name) else f"{n:0{digits}d}",
            "parameters": {parameter: value},
        }
        if scan.get("chained") and steps:
            step["parents"] = [steps[-1]["name"]]
        steps.append(step)
    return steps


def _values(scan: dict[str, Any]) -> list[Any]:
    """Return the values of a scan; from, to and by are added up as decimals, so that 0 to 1 by 0.1 ends at 1."""
    values, ends = scan.get("values"), [scan.get(name) for name in ("from", "to", "by")]
    if values is not None:
        if any(end is not None for end in ends):
            raise Invalid("scan has values and also from, to or by: expected one of them", field="scan.values")
        return list(values)
    if any(end is None for end in ends):
        raise Invalid("scan has neither values nor all of from, to and by", field="scan")
    begin, end, by = (Decimal(str(one)) for one in ends)
    if by == 0 or (end - begin) / by < 0:
        raise Invalid(
            f"scan.by is {format_value(scan['by'])}: it never leads from {format_value(scan['from'])} to {format_value(scan['to'])}",
            field="scan.by",
        )
    number = int((end - begin) / by) + 1
    if number > MOST_STEPS:
        raise TooLarge(f"scan has {number} values: the most allowed is {MOST_STEPS}", field="scan.by")
    are_whole = all(type(one) is int for one in ends)
    return [int(begin + n * by) if are_whole else float(begin + n * by) for n in range(number)]
