"""Checks parameters against a program's schema, and the schema itself.

A part of JSON Schema suffices, so that a form can be made of each schema: an object with named parameters, each a number,
integer, string, boolean, or an array of one of these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tailrace.programs.errors import InvalidParameters
from tailrace.similar_names import did_you_mean, join_names

__all__ = ["check_parameters", "check_schema"]

TYPES = ("number", "integer", "string", "boolean", "array")
PLAIN = {"type", "title", "description", "unit", "default", "enum"}
LIMITS = {
    "number": {"minimum", "maximum"},
    "integer": {"minimum", "maximum"},
    "string": {"maxLength"},
    "boolean": set(),
    "array": {"items", "minItems", "maxItems"},
}
TOP = {"type", "properties", "required", "additionalProperties", "title", "description"}
LONGEST = 10_000
"""Most characters of a text without ``maxLength``, and most values of an array without ``maxItems``."""


def check_parameters(schema: Mapping[str, Any], parameters: object) -> dict[str, Any]:
    """Returns the parameters with the schema's defaults for those that are missing.

    Raises
    ------
    InvalidParameters
        If a parameter is unknown, missing or not valid. The message names it, its value and what was expected.
    """
    if not isinstance(parameters, Mapping):
        raise InvalidParameters(f"the parameters are {_said(parameters)}: expected an object with names and values")
    known = schema["properties"]
    for name in parameters:
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise InvalidParameters(
                f"there is no parameter {str(name)[:60]!r}{hint}: expected {join_names(known)}", str(name)[:60]
            )
    checked = {}
    for name, rule in known.items():
        if name in parameters:
            checked[name] = _check(name, rule, parameters[name])
        elif "default" in rule:
            checked[name] = rule["default"]
        elif name in schema.get("required", ()):
            raise InvalidParameters(f"the parameter {name!r} is missing: expected {_expected(rule)}", name)
    return checked


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise ValueError unless a schema is in the part of JSON Schema that forms and this module know.

    At the top: ``type: object``, ``properties``, ``required``, ``additionalProperties: false``. In a parameter: ``type``,
    ``title``, ``description``, ``unit``, ``default``, ``enum``, and ``minimum`` and ``maximum`` of a number,
    ``maxLength`` of a string, ``items``, ``minItems`` and ``maxItems`` of an array.
    """
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        raise ValueError("the schema must have type 'object' and additionalProperties false")
    if more := set(schema) - TOP:
        raise ValueError(f"the schema has {join_names(sorted(more))}: expected only {join_names(sorted(TOP))}")
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        raise ValueError("the schema's properties must be an object, with one entry for each parameter")
    if missing := [name for name in schema.get("required", ()) if name not in properties]:
        raise ValueError(f"the schema requires {join_names(missing)}, which are not among its properties")
    for name, rule in properties.items():
        _check_rule(name, rule)


def _check_rule(name: str, rule: Mapping[str, Any]) -> None:
    kind = rule.get("type")
    if kind not in TYPES:
        raise ValueError(f"the type of {name!r} is {kind!r}: expected one of {join_names(TYPES)}")
    if more := set(rule) - PLAIN - LIMITS[kind]:
        raise ValueError(f"{name!r} has {join_names(sorted(more))}, which a parameter of type {kind} can't have")
    if kind == "array":
        items = rule.get("items")
        if not isinstance(items, Mapping) or items.get("type") == "array":
            raise ValueError(f"{name!r} needs items: one type for its values, not array")
        _check_rule(f"{name}[]", items)
    if "default" in rule:
        _check(name, rule, rule["default"])


def _check(name: str, rule: Mapping[str, Any], value: Any) -> Any:
    kind = rule["type"]
    if kind == "number" and _is_integer(value):
        value = float(value) if abs(value) < 2**53 else value
    elif kind == "integer" and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # JSON does not tell 1.0 from 1
    if not _fits(kind, value, rule):
        raise InvalidParameters(f"{name} is {_said(value)}: expected {_expected(rule)}", name)
    if kind == "array":
        return [_check(f"{name}[{place}]", rule["items"], one) for place, one in enumerate(value)]
    return value


def _fits(kind: str, value: Any, rule: Mapping[str, Any]) -> bool:
    if "enum" in rule and value not in rule["enum"]:
        return False
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str) and len(value) <= rule.get("maxLength", LONGEST) and "\0" not in value
    if kind == "array":
        return isinstance(value, (list, tuple)) and rule.get("minItems", 0) <= len(value) <= rule.get(
            "maxItems", LONGEST
        )
    is_number = _is_integer(value) or (kind == "number" and isinstance(value, float) and math.isfinite(value))
    return is_number and rule.get("minimum", -math.inf) <= value <= rule.get("maximum", math.inf)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _expected(rule: Mapping[str, Any]) -> str:
    unit = f" (in {rule['unit']})" if rule.get("unit") else ""
    if "enum" in rule:
        return f"one of {join_names([_said(one) for one in rule['enum']])}{unit}"
    kind = rule["type"]
    words = {"integer": "an integer", "array": "a list", "string": "a text"}.get(kind, f"a {kind}")
    if kind == "array":
        lowest, highest = rule.get("minItems"), rule.get("maxItems")
        words = f"a list of values, each {_expected(rule['items'])}"
        return words + _range(lowest, highest, " values") + unit
    if kind == "string":
        return f"{words} of at most {rule.get('maxLength', LONGEST)} characters"
    return words + _range(rule.get("minimum"), rule.get("maximum")) + unit


def _range(lowest: Any, highest: Any, what: str = "") -> str:
    if lowest is not None and highest is not None:
        return f" from {lowest} to {highest}{what}"
    if lowest is not None:
        return f" of at least {lowest}{what}"
    return "" if highest is None else f" of at most {highest}{what}"


def _said(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
