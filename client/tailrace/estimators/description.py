"""Estimators as JSON: readable, written by hand with ease, and safe to take from anyone.

A description names a class and its parameters; what is left out keeps its default::

    {"class": "river.linear_model.LinearRegression",
     "params": {"optimizer": {"class": "river.optim.SGD", "params": {"lr": 0.01}}, "intercept_lr": 0.1}}

Chains, unions and products of transformers have steps, each with a name (printable, at most 100 characters) if wanted::

    {"class": "river.compose.Pipeline",
     "steps": [{"class": "river.preprocessing.StandardScaler", "name": "scale"},
               {"class": "river.linear_model.LinearRegression"}]}

A value is one of

- a string, a finite number, ``true``, ``false`` or ``null``;
- a list of values;
- a description, where river takes an object (an estimator, an optimizer, a loss, a metric …);
- ``{"type": "float"}``, where river takes a plain type: one of bool, float, int, str;
- any other object: a mapping of strings to values.

A parameter that river declares as ``*keys`` is a list under its name: ``{"class":
"river.compose.Select", "params": {"keys": ["x", "y"]}}``. The prefix ``river.`` may be left out, and so
may ``tailrace.estimators.``.

Classes are looked up in a table of river's public modules and of ``tailrace.estimators``; nothing is
imported because a description says so. Functions can't be described, nor can data sets or the estimators
of other libraries: `NOT_DESCRIBABLE`.
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
"""How deep descriptions, lists and mappings may nest."""

MAX_VALUES = 2_000
"""How many values one description may hold in all."""

MAX_TEXT = 1_000
"""Characters of one string."""

TYPES: dict[str, type] = {"bool": bool, "float": float, "int": int, "str": str}

_LEARNED = {"river.drift.KSWIN": ("window",)}
"""Attributes named as a parameter whose value is replaced by what was learned."""

_STEPS = {"Pipeline": "steps", "TransformerUnion": "transformers", "TransformerProduct": "transformers"}


def describe(estimator: Any) -> dict[str, Any]:
    """Describe an estimator by its class and parameters; what it has learned is left out.

    Parameters
    ----------
    estimator
        An estimator of river or of ``tailrace.estimators``.

    Returns
    -------
    A description that `build` takes and that JSON can hold.

    Raises
    ------
    DescriptionError
        If it, or something that it is made from, can't be described.
    """
    return _describe(estimator, "estimator", 0)


def build(description: Mapping[str, Any]) -> Any:
    """Make the estimator that a description describes.

    Parameters
    ----------
    description
        As the module's documentation says; anyone may have written it.

    Returns
    -------
    A new estimator that has learned nothing.

    Raises
    ------
    DescriptionError
        If the description is malformed, names an unknown class or parameter, holds a value of the wrong
        kind or beyond its limit, or is deeper or larger than is admitted. Its ``field`` says where.
    """
    from river import base

    built = _Builder().describable(description, "estimator", 0)
    if not issubclass(type(built), base.Estimator):
        raise DescriptionError(
            f"{full_name(type(built))} is not an estimator but what one is made from", "estimator.class"
        )
    return built


def classes() -> dict[str, type]:
    """The classes that a description may name, by full name.

    Returns
    -------
    A new dict, in alphabetical order.
    """
    return dict(known_classes())


# From an estimator to its description


def _describe(value: Any, field: str, depth: int) -> dict[str, Any]:
    cls: Any = type(value)
    if cls not in full_names():
        if callable(value) and not hasattr(value, "_get_params"):
            raise DescriptionError(f"{shown(value)} can't be described: it is a function", field)
        full = full_name(cls)
        why = NOT_DESCRIBABLE.get(full) or next(
            (reason for name, reason in NOT_DESCRIBABLE.items() if name.rpartition(".")[2] == cls.__name__),
            "it is not an estimator of river or of tailrace, nor what one is made from",
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


# From a description to its estimator


class _Builder:
    """Builds one description, counting its values."""

    def __init__(self) -> None:
        self.values = 0
        self.extent = Extent()

    def describable(self, description: Any, field: str, depth: int) -> Any:
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
        if isinstance(value, Mapping) and "class" in value:
            return self.describable(value, field, depth)
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
            made = self.describable(step, place, depth + 1)
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
        "only estimators of river and of tailrace, and what they are made from, can",
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
        return f"{full_name(cls)} has its steps beside params, as 'steps'"
    return f"{full_name(cls)} has no parameter {shown(name)}{_did_you_mean(str(name), accepted)}; it takes {listed}"


def _type_of(value: Mapping[str, Any], field: str) -> type:
    name = value["type"]
    if len(value) != 1 or not isinstance(name, str) or name not in TYPES:
        raise DescriptionError(f"{shown(dict(value))} is not a type; a type is one of {', '.join(TYPES)}", field)
    return TYPES[name]


def _construct(cls: type, positional: list[Any], keywords: dict[str, Any], field: str) -> Any:
    """Call the constructor; what it says against a value is passed on."""
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
        raise DescriptionError(f"{full_name(cls)} can't be made so: {type(error).__name__}: {error}", field) from error
