"""What a recipe is: a named estimator definition, and what can be set about it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from river.base import Estimator

from server.streams.errors import Invalid
from server.streams.printable import brief
from server.streams.validation import as_whole

_KINDS = {
    "integer": "an integer",
    "number": "a finite number",
    "boolean": "true or false",
    "string": "a string",
}


@dataclass(frozen=True)
class Parameter:
    """What can be set about a recipe.

    Parameters
    ----------
    name
        As the API calls it.
    kind
        ``integer``, ``number``, ``boolean`` or ``string``.
    default
        Its value where none is given.
    description
        What it does, with its unit.
    minimum, maximum
        Inclusive bounds of an integer or a number.
    choices
        The values that a string may have.
    """

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None

    def check(self, value: Any) -> Any:
        """Return ``value`` in the parameter's own type.

        Raises
        ------
        Invalid
            If its type or its range is another one.
        """
        if self.kind == "integer":
            value = as_whole(value)
        good = {
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool) and _finite(value),
            "boolean": isinstance(value, bool),
            "string": isinstance(value, str),
        }[self.kind]
        if not good:
            raise self._refuse(value, _KINDS[self.kind])
        if self.choices is not None and value not in self.choices:
            raise self._refuse(value, f"one of {', '.join(self.choices)}")
        if self.minimum is not None and value < self.minimum:
            raise self._refuse(value, f"at least {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise self._refuse(value, f"at most {self.maximum:g}")
        return float(value) if self.kind == "number" else value

    def _refuse(self, value: Any, expected: str) -> Invalid:
        return Invalid(f"{self.name} is {brief(value, 60)}; expected {expected}.", field=f"parameters.{self.name}")


@dataclass(frozen=True)
class Recipe:
    """A named estimator definition.

    Parameters
    ----------
    name
        As the API calls it.
    flavor
        The kind of task.
    summary
        One line.
    description
        What it is good for, and what it costs.
    parameters
        What can be set.
    build
        Makes a fresh estimator; takes the parameters by name.
    """

    name: str
    flavor: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    build: Callable[..., Estimator]


SEED = Parameter("seed", "integer", 42, "Seed of the random state; a replay gives the same model.", 0, 2**32 - 1)
GRACE = Parameter("grace_period", "integer", 50, "Observations a leaf gathers between attempts to split.", 1, 1_000_000)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
