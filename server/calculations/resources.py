"""Resources of a step: nodes, processes and wall time. What is asked for is a cost, and what an agent gets."""

from typing import Any

from server.core.errors import Invalid
from server.core.validation import format_value

DEFAULTS = {"nodes": 1, "processes": 1, "seconds": 3600}
"""Resources of a step that says nothing else."""

MOST = {"nodes": 100_000, "processes": 10_000_000, "seconds": 366 * 86_400}
"""The largest value of each. The smallest is 1."""


def check(wanted: Any, field: str) -> dict[str, int]:
    """Return resources if a step may ask for them.

    Parameters
    ----------
    wanted
        Name to number; those that are missing have their defaults.
    field
        Where they are in the request.

    Raises
    ------
    Invalid
        If a name is unknown, or a value is not a whole number from 1 to its largest value.
    """
    if type(wanted) is not dict:
        raise Invalid(f"{field} is {format_value(wanted)}: expected an object", field=field)
    for name, value in wanted.items():
        where = f"{field}.{name}"
        if name not in MOST:
            raise Invalid(
                f"{field} has {format_value(name)}: expected some of {', '.join(MOST)}",
                field=where,
                code="unknown_field",
            )
        if type(value) is not int or not 1 <= value <= MOST[name]:
            raise Invalid(
                f"{where} is {format_value(value)}: expected a whole number from 1 to {MOST[name]}", field=where
            )
    return wanted
