"""Recipe and Parameter: a named estimator definition, and the parameters that users can set."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from river.base import Estimator

from server.core.errors import Invalid
from server.core.printable import brief
from server.core.validation import whole_as_int

_KINDS = {
    "integer": "an integer",
    "number": "a finite number",
    "boolean": "true or false",
    "string": "a string",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a recipe.

    Parameters
    ----------
    name
        Its name in the API.
    kind
        ``integer``, ``number``, ``boolean`` or ``string``.
    default
        Its value if none is given.
    description
        One sentence, with its unit.
    minimum, maximum
        Inclusive bounds of an integer or a number.
    choices
        The allowed values of a string.
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
            If it has the wrong type or is out of range.
        """
        if self.kind == "integer":
            value = whole_as_int(value)
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
        Its name in the API.
    flavor
        The kind of task.
    summary
        One line.
    description
        Purpose and cost.
    parameters
        Its parameters.
    build
        Builds a new estimator; takes the parameters by name.
    """

    name: str
    flavor: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    build: Callable[..., Estimator]


SEED = Parameter(
    "seed", "integer", 42, "Seed of the random state, so that a replay gives the same model.", 0, 2**32 - 1
)
GRACE = Parameter(
    "grace_period", "integer", 50, "Observations that a leaf collects between attempts to split.", 1, 1_000_000
)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
