"""Descriptions of estimators as JSON: readable, easy to write by hand, and safe to accept from anyone.

A description names a class and its parameters. Parameters that are left out have their defaults::

    {"class": "river.linear_model.LinearRegression",
     "params": {"optimizer": {"class": "river.optim.SGD", "params": {"lr": 0.01}}, "intercept_lr": 0.1}}

Pipelines, unions and products of transformers have steps. A step may have a name (printable, at most 100 characters)::

    {"class": "river.compose.Pipeline",
     "steps": [{"class": "river.preprocessing.StandardScaler", "name": "scale"},
               {"class": "river.linear_model.LinearRegression"}]}

A value is one of

- a string, a finite number, ``true``, ``false`` or ``null``;
- a list of values;
- a description, for a parameter that takes an object (an estimator, an optimizer, a loss, a metric …);
- ``{"type": "float"}``, for a parameter that takes a plain type: one of bool, float, int, str;
- any other object: a mapping of strings to values.

A parameter that river declares as ``*keys`` is a list under its name: ``{"class":
"river.compose.Select", "params": {"keys": ["x", "y"]}}``. The prefixes ``river.`` and ``tailrace.estimators.`` may be
left out.

Classes are looked up in a table of river's public modules and of ``tailrace.estimators``. A description never causes an
import. Functions, data sets and estimators of other libraries cannot be described. Some classes of river cannot,
either: see `NOT_DESCRIBABLE`.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping
from typing import Any

from tailrace.estimators._catalog import NOT_DESCRIBABLE, full_name, full_names, known_classes, parameters_of
from tailrace.estimators._described_values import (
    DescriptionError,
    check_kind,
    check_step,
    check_step_name,
    check_text,
    shown,
)
from tailrace.estimators.extent import Extent, TooManyCells
from tailrace.estimators.limits import excesses, is_panic

__all__ = ["NOT_DESCRIBABLE", "DescriptionError", "build", "classes", "describe"]

MAX_DEPTH = 20
"""Largest nesting depth of descriptions, lists and mappings."""

MAX_VALUES = 2_000
"""Largest number of values in one description."""

MAX_TEXT = 1_000
"""Largest number of characters of one string."""

TYPES: dict[str, type] = {"bool": bool, "float": float, "int": int, "str": str}

_LEARNED = {"river.drift.KSWIN": ("window",)}
"""Attributes that have the name of a parameter but contain what was learned."""

_STEPS = {"Pipeline": "steps", "TransformerUnion": "transformers", "TransformerProduct": "transformers"}


def describe(estimator: Any) -> dict[str, Any]:
    """Describe an estimator by its class and parameters, without what it has learned.

    Parameters
    ----------
    estimator
        An estimator of river or of ``tailrace.estimators``.

    Returns
    -------
    A description for `build`, made of JSON values.

    Raises
    ------
    DescriptionError
        If the estimator, or one of its parameters, cannot be described.
    """
    return _describe(estimator, "estimator", 0)


def build(description: Mapping[str, Any]) -> Any:
    """Build an estimator from its description.

    Parameters
    ----------
    description
        A description as this module defines it. It may come from an untrusted source.

    Returns
    -------
    A new estimator that has learned nothing.

    Raises
    ------
    DescriptionError
        If the description is malformed, names an unknown class or parameter, contains a value of the wrong
        kind or beyond its limit, or is too deep or too large. The error's ``field`` is the path of the problem.
    """
    from river import base

    built = _Builder().build(description, "estimator", 0)
    if not issubclass(type(built), base.Estimator):
        raise DescriptionError(f"{full_name(type(built))} is not an estimator, but a part of one", "estimator.class")
    return built


def classes() -> dict[str, type]:
    """Return the classes that a description may name, by full name.

    Returns
    -------
    A new dict, in alphabetical order.
    """
    return dict(known_classes())


# Describing an estimator


def _describe(value: Any, field: str, depth: int) -> dict[str, Any]:
    cls: Any = type(value)
    if cls not in full_names():
        if callable(value) and not hasattr(value, "_get_params"):
            raise DescriptionError(f"{shown(value)} can't be described: it is a function", field)
        full = full_name(cls)
        why = NOT_DESCRIBABLE.get(full) or next(
            (reason for name, reason in NOT_DESCRIBABLE.items() if name.rpartition(".")[2] == cls.__name__),
            "it is neither an estimator of river or of tailrace, nor a part of one",
        )
        raise DescriptionError(f"{full} can't be described: {why}", field)
    if depth > MAX_DEPTH:
        raise DescriptionError(f"it nests more than {MAX_DEPTH} deep", field)
    described: dict[str, Any] = {"class": full_name(cls)}
    params: dict[str, Any] = {}
    for name, parameter in parameters_of(cls).items():
        held = getattr(value, name, inspect.Parameter.empty)
        if cls.__name__ in _STEPS and parameter.kind is parameter.VAR_POSITIONAL:
            described["steps"] = _describe_steps(getattr(value, _STEPS[cls.__name__]), field, depth)
        elif held is inspect.Parameter.empty:
            raise DescriptionError(f"{full_name(cls)} doesn't keep its parameter {name}", f"{field}.params.{name}")
        elif name not in _LEARNED.get(described["class"], ()) and not _is_default(held, parameter):
            params[name] = _describe_value(held, f"{field}.params.{name}", depth + 1)
    if params:
        described["params"] = params
    return described


def _is_default(held: Any, parameter: inspect.Parameter) -> bool:
    if parameter.default is None and (_is_euclidean(held) or (isinstance(held, dict) and not held)):
        return True
    return (
        type(held) is type(parameter.default)
        and isinstance(held, (str, int, float, type(None)))
        and held == parameter.default
    )


def _is_euclidean(value: Any) -> bool:
    from river import utils

    return value in (utils.vectordict.euclidean_distance_dict, utils.vectordict.euclidean_distance_tuple)


def _describe_steps(steps: Mapping[str, Any], field: str, depth: int) -> list[dict[str, Any]]:
    described = []
    for index, (name, step) in enumerate(steps.items()):
        check_step_name(name, f"{field}.steps[{index}].name")
        one = _describe(step, f"{field}.steps[{index}]", depth + 1)
        described.append(one if name == type(step).__name__ else {**one, "name": name})
    return described


def _describe_value(value: Any, field: str, depth: int) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise DescriptionError(f"{value} is not a finite number", field)
        return value
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=lambda item: getattr(item, "__name__", str(item)))
    if isinstance(value, (list, tuple)):
        return [_describe_value(item, f"{field}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, type) and value in TYPES.values():
        return {"type": value.__name__}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value) or {"class", "type"} & set(value):
            raise DescriptionError("a mapping's keys must be strings other than class and type", field)
        return {key: _describe_value(item, f"{field}.{key}", depth + 1) for key, item in value.items()}
    return _describe(value, field, depth)


# Building an estimator


class _Builder:
    """Builds the estimator of one description, and counts the description's values."""

    def __init__(self) -> None:
        self.values = 0
        self.extent = Extent()

    def build(self, description: Any, field: str, depth: int) -> Any:
        """Build the object of a description, which may be part of another."""
        if not isinstance(description, Mapping):
            raise DescriptionError(f"{shown(description)} is not a description, {{'class': …, 'params': {{…}}}}", field)
        self._count(field, depth)
        unknown = sorted(set(map(str, description)) - {"class", "params", "steps", "name"})
        if unknown:
            raise DescriptionError(
                f"unknown key {unknown[0]!r}{_did_you_mean(unknown[0], ['class', 'params', 'steps', 'name'])};"
                " a description has class, params, and steps where the class has them",
                f"{field}.{unknown[0]}",
            )
        cls = _class_of(description.get("class"), f"{field}.class")
        params = description.get("params", {})
        if not isinstance(params, Mapping):
            raise DescriptionError(f"{shown(params)} is not a mapping of parameters", f"{field}.params")
        positional = self._steps(cls, description, field, depth)
        keywords: dict[str, Any] = {}
        accepted = parameters_of(cls)
        for name, value in params.items():
            place = f"{field}.params.{name}"
            parameter = accepted.get(name)
            if parameter is None or (parameter.kind is parameter.VAR_POSITIONAL and cls.__name__ in _STEPS):
                raise DescriptionError(_unknown_parameter(cls, name), place)
            made = self.value(value, place, depth + 1)
            check_kind(cls, parameter, made, place)
            if parameter.kind is parameter.VAR_POSITIONAL:
                if not isinstance(made, list):
                    raise DescriptionError(f"{full_name(cls)} takes a list as {name}, not {shown(made)}", place)
                positional = made
            else:
                keywords[name] = made
        for name, why in excesses(cls, keywords):
            raise DescriptionError(f"{name} {why}", f"{field}.params.{name}")
        try:
            self.extent.made(cls, {**keywords, "": positional})
        except TooManyCells as error:
            raise DescriptionError(f"{full_name(cls)} is too large: {error}", field) from error
        return _construct(cls, positional, keywords, field)

    def value(self, value: Any, field: str, depth: int) -> Any:
        """Build a value, which may be a description."""
        if isinstance(value, Mapping) and "class" in value:
            return self.build(value, field, depth)
        self._count(field, depth)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                raise DescriptionError(f"it has {len(value)} characters; at most {MAX_TEXT} are admitted", field)
            check_text(value, field)
            return value
        if isinstance(value, (int, float)):
            if isinstance(value, float) and not math.isfinite(value):
                raise DescriptionError(f"{value} is not a finite number", field)
            return value
        if isinstance(value, (list, tuple)):
            return [self.value(item, f"{field}[{index}]", depth + 1) for index, item in enumerate(value)]
        if isinstance(value, Mapping):
            if "type" in value:
                return _type_of(value, field)
            for key in value:
                if len(str(key)) > MAX_TEXT:
                    raise DescriptionError(
                        f"a key has {len(str(key))} characters; at most {MAX_TEXT} are admitted", field
                    )
                check_text(str(key), field)
            return {str(key): self.value(item, f"{field}.{key}", depth + 1) for key, item in value.items()}
        raise DescriptionError(f"{shown(value)} is not a JSON value", field)

    def _steps(self, cls: type, description: Mapping[str, Any], field: str, depth: int) -> list[Any]:
        if "steps" not in description:
            return []
        if cls.__name__ not in _STEPS:
            raise DescriptionError(f"{full_name(cls)} has no steps; give its parameters as params", f"{field}.steps")
        steps = description["steps"]
        if not isinstance(steps, list) or not steps:
            raise DescriptionError("it must be a list of at least one description", f"{field}.steps")
        built = []
        for index, step in enumerate(steps):
            place = f"{field}.steps[{index}]"
            made = self.build(step, place, depth + 1)
            name = step.get("name")
            if name is not None:
                check_step_name(name, f"{place}.name")
            check_step(cls, made, f"{place}.class")
            built.append(made if name is None else (name, made))
        return built

    def _count(self, field: str, depth: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise DescriptionError(f"the description holds more than {MAX_VALUES} values", field)
        if depth > MAX_DEPTH:
            raise DescriptionError(f"the description nests more than {MAX_DEPTH} deep", field)


def _class_of(name: Any, field: str) -> type:
    if not isinstance(name, str):
        raise DescriptionError(
            f"{shown(name)} is not the name of a class, such as 'linear_model.LinearRegression'", field
        )
    known = known_classes()
    for full in (name, f"river.{name}", f"tailrace.estimators.{name}"):
        if full in NOT_DESCRIBABLE:
            raise DescriptionError(f"{full} can't be described: {NOT_DESCRIBABLE[full]}", field)
        if full in known:
            return known[full]
    named = shown(name)
    raise DescriptionError(
        f"{named} is not a class that can be described{_did_you_mean(name.removeprefix('river.'), _short_names())}; "
        "only estimators of river and of tailrace, and their parts, can",
        field,
    )


def _short_names() -> list[str]:
    return [name.removeprefix("river.") for name in known_classes()]


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name[:80], known, n=1)
    last = name[:80].rpartition(".")[2].lower()
    close = close or [one for one in known if one.rpartition(".")[2].lower() == last]
    return f" (did you mean {close[0]!r}?)" if close else ""


def _unknown_parameter(cls: type, name: Any) -> str:
    accepted = [one for one in parameters_of(cls) if not (cls.__name__ in _STEPS and one in ("steps", "transformers"))]
    listed = ", ".join(accepted) or "none"
    if cls.__name__ in _STEPS and name in ("steps", "transformers"):
        return f"{full_name(cls)} has its steps under 'steps', next to 'params'"
    return f"{full_name(cls)} has no parameter {shown(name)}{_did_you_mean(str(name), accepted)}; it takes {listed}"


def _type_of(value: Mapping[str, Any], field: str) -> type:
    name = value["type"]
    if len(value) != 1 or not isinstance(name, str) or name not in TYPES:
        raise DescriptionError(f"{shown(dict(value))} is not a type; a type is one of {', '.join(TYPES)}", field)
    return TYPES[name]


def _construct(cls: type, positional: list[Any], keywords: dict[str, Any], field: str) -> Any:
    """Call the constructor. An error of the constructor becomes a DescriptionError."""
    missing = [
        name
        for name, parameter in parameters_of(cls).items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in keywords
    ]
    if missing:
        raise DescriptionError(f"{full_name(cls)} needs {', '.join(missing)}", f"{field}.params.{missing[0]}")
    try:
        return cls(*positional, **keywords)
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise DescriptionError(
            f"{full_name(cls)} refuses these parameters: {type(error).__name__}: {error}", field
        ) from error
