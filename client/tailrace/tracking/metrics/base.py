"""`DomainMetrics`: base class of metric types, and the declaration of their quantities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from tailrace.errors import Unusable
from tailrace.tracking.lines import metric_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Check", "DomainMetrics", "at_most", "calibration", "quantity"]

CALIBRATION_TOLERANCE = 0.05


@dataclass(frozen=True)
class Check:
    """A check of measured values.

    Attributes
    ----------
    name
        Such as ``chemical_accuracy``.
    passed
        Whether the value is within the limit. NaN is not.
    value, limit
        What was compared.
    unit
        Of both; empty: none.
    about
        What is checked, and where the limit comes from.
    """

    name: str
    passed: bool
    value: float
    limit: float
    unit: str
    about: str

    def __str__(self) -> str:
        sign, unit = ("within" if self.passed else "outside"), f" {self.unit}" if self.unit else ""
        return f"{self.name}: {self.value:g}{unit} is {sign} the limit {self.limit:g}{unit} ({self.about})"


def quantity(
    about: str, unit: str = "", *, least: float | None = None, most: float | None = None, whole: bool = False,
    kind: str = "number", source: str = "", default: Any = None,
) -> Any:  # fmt: skip
    """Declare a field of a metric type.

    Parameters
    ----------
    about
        What it is, in a few words.
    unit
        Its unit; empty: none.
    least, most
        Bounds of valid values.
    whole
        Whether it is a whole number.
    kind
        ``number``, ``text``, ``numbers`` (a sequence), ``named`` (numbers by name), or ``resolution`` (points of each axis).
    source
        Where it is defined.
    default
        Its value if it is not given.
    """
    facts = {
        "about": about, "unit": unit, "least": least, "most": most, "whole": whole, "kind": kind, "source": source,
    }  # fmt: skip
    return field(default=default, metadata=facts)


@dataclass
class DomainMetrics:
    """Base class of metric types.

    A derived class is a dataclass whose fields are declared with `quantity`, and sets `domain`. Its values are validated
    when it is made: types, bounds, shapes. Whether they are *good* is a matter of `checks`.

    Raises
    ------
    Unusable
        If a value is not valid. The message names the field, the value and what was expected.
    """

    domain = ""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and "kind" in one.metadata:
                setattr(self, one.name, _valid(one.name, value, one.metadata))
        self.validate()

    def validate(self) -> None:
        """Raise Unusable if fields do not fit together. Derived classes define it if needed."""

    def checks(self) -> list[Check]:
        """Returns the checks for which there are values. Derived classes define it."""
        return []

    @classmethod
    def units(cls) -> dict[str, str]:
        """Returns the unit of each quantity that has one."""
        return {one.name: one.metadata["unit"] for one in fields(cls) if one.metadata.get("unit")}

    @classmethod
    def sources(cls) -> dict[str, str]:
        """Returns where quantities are defined."""
        return {one.name: one.metadata["source"] for one in fields(cls) if one.metadata.get("source")}

    def as_document(self) -> dict[str, Any]:
        """Returns what is logged: the values that are given, and for each check 1 if it passed and 0 if not.

        A tolerance that is the default is left out. The text of its check names it.
        """
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        found = {one.name: values[one.name] for one in fields(self) if values[one.name] not in (None, one.default)}
        units = self.units()
        for check in self.checks():
            found[f"check.{check.name}"] = 1 if check.passed else 0
            found[f"check.{check.name}.about"] = str(check)
        for name in list(found):
            if name in units:
                found[f"unit.{name}"] = units[name]
        return found


def at_most(name: str, value: float | None, limit: float, unit: str, about: str) -> list[Check]:
    """Returns the check that the absolute of a value is at most a limit; none if there is no value."""
    if value is None:
        return []
    return [Check(name, abs(value) <= limit, value, limit, unit, about)]


def calibration(coverage: float | None, nominal: float, samples: int | None) -> list[Check]:
    """Returns the check that intervals contain as many true values as they claim; none if there is no coverage.

    The tolerance is two standard errors of a binomial proportion, if the number of samples is known, else 0.05.
    """
    if coverage is None:
        return []
    limit = 2 * math.sqrt(nominal * (1 - nominal) / samples) if samples else CALIBRATION_TOLERANCE
    limit = max(limit, 1 / samples if samples else 0.0)
    about = f"coverage {coverage:g} of intervals that claim {nominal:g}; two standard errors of a binomial proportion"
    return [Check("calibration", abs(coverage - nominal) <= limit, coverage - nominal, limit, "", about)]


def _valid(name: str, value: Any, facts: Mapping[str, Any]) -> Any:
    kind = facts["kind"]
    if kind == "text":
        if not isinstance(value, str) or not value.strip():
            raise Unusable(f"{name} is {value!r}: expected text, {facts['about']}")
        return value
    if kind == "named":
        if not isinstance(value, Mapping):
            raise Unusable(f"{name} is {value!r}: expected numbers by name, {facts['about']}")
        return {str(key): _number(f"{name}[{key!r}]", one, facts) for key, one in value.items()}
    if kind in ("numbers", "resolution"):
        if kind == "resolution" and isinstance(value, int):
            value = (value,)
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise Unusable(f"{name} is {value!r}: expected a sequence of numbers, {facts['about']}")
        found = [_number(f"{name}[{index}]", one, facts) for index, one in enumerate(value)]
        if kind == "resolution" and not found:
            raise Unusable(f"{name} is empty: expected the number of points of each axis, such as (64, 64)")
        return tuple(found)
    return _number(name, value, facts)


def _number(name: str, value: Any, facts: Mapping[str, Any]) -> Any:
    try:
        found = metric_value(value)
    except ValueError as error:
        raise Unusable(f"{name}: {error}: expected {facts['about']}{_in(facts)}") from None
    number = float(found.replace("Infinity", "inf")) if isinstance(found, str) else found
    least, most = facts["least"], facts["most"]
    if facts["whole"]:
        if not math.isfinite(number) or number != int(number):
            raise Unusable(f"{name} is {value!r}: expected a whole number, {facts['about']}")
        number = int(number)
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = (
            f"at least {least:g}"
            if most is None
            else f"at most {most:g}"
            if least is None
            else f"{least:g} to {most:g}"
        )
        raise Unusable(f"{name} is {value!r}: expected {bounds}{_in(facts)}, {facts['about']}")
    return number


def _in(facts: Mapping[str, Any]) -> str:
    return f" in {facts['unit']}" if facts["unit"] else ""
