"""Forms that are made of the JSON Schema of a program's parameters, and what a person filled in, as parameters."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.core.errors import Invalid
from server.core.validation import format_value

PREFIX = "p."
"""Begins the names of parameters in forms."""

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
MOST_LISTED = 10_000


@dataclass
class Parameter:
    """One field of the form.

    Attributes
    ----------
    kind
        ``number``, ``integer``, ``boolean``, ``choice``, ``text``, ``list``, or ``json`` for all else.
    text
        What the field shows; empty: the program's default.
    """

    name: str
    kind: str
    title: str
    description: str = ""
    unit: str = ""
    default: str = ""
    least: Any = None
    most: Any = None
    choices: list[str] = field(default_factory=list)
    is_required: bool = False
    text: str = ""
    error: str = ""

    @property
    def parameter(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def hint(self) -> str:
        """What the field expects, in one line."""
        expected = {
            "integer": "A whole number",
            "number": "A number",
            "list": "Values, separated by commas",
            "json": "JSON",
        }
        words = [expected[self.kind]] if self.kind in expected else []
        if self.least is not None and self.most is not None:
            words.append(f"from {self.least} to {self.most}")
        elif self.least is not None:
            words.append(f"at least {self.least}")
        elif self.most is not None:
            words.append(f"at most {self.most}")
        line = " ".join(words)
        if self.default:
            line += f"{'; ' if line else ''}default {self.default}"
        described = self.description.rstrip(".")
        return ". ".join(part for part in (described, line) if part)


def parameters_of(schema: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> list[Parameter]:
    """Return the fields for a schema, filled in with ``given`` parameters."""
    required = set(schema.get("required", ()))
    found = []
    for name, one in schema.get("properties", {}).items():
        value = (given or {}).get(name)
        found.append(
            Parameter(
                name=name,
                kind=_kind(one),
                title=str(one.get("title") or name.replace("_", " ")),
                description=str(one.get("description", "")),
                unit=str(one.get("unit", "")),
                default=_text(one["default"]) if "default" in one else "",
                least=one.get("minimum", one.get("exclusiveMinimum")),
                most=one.get("maximum", one.get("exclusiveMaximum")),
                choices=[_text(choice) for choice in one.get("enum", ())],
                is_required=name in required and "default" not in one,
                text="" if value is None else _text(value),
            )
        )
    return found


def read(schema: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that a form gives. Fields that are empty are left out, so that the program's defaults hold.

    Raises
    ------
    Invalid
        If a text can't be read as the parameter's type. Whether a value is allowed is checked with the schema later.
    """
    found: dict[str, Any] = {}
    for name, one in schema.get("properties", {}).items():
        text = form.get(f"{PREFIX}{name}", "").strip()
        if text:
            found[name] = _value(one, text, f"parameters.{name}")
    return found


def value_of(schema: Mapping[str, Any], name: str, text: str, field: str) -> Any:
    """Return one value of a parameter, such as a value of a scan.

    Raises
    ------
    Invalid
        If the program has no such parameter, or the text can't be read as its type.
    """
    one = schema.get("properties", {}).get(name)
    if one is None:
        raise Invalid(f"{field} is {format_value(name)}: expected a parameter of the program", field=field)
    return _value(one, text.strip(), field)


def _kind(one: Mapping[str, Any]) -> str:
    if "enum" in one:
        return "choice"
    kind = one.get("type")
    if kind == "array" and one.get("items", {}).get("type") in ("number", "integer", "string"):
        return "list"
    return {"number": "number", "integer": "integer", "boolean": "boolean", "string": "text"}.get(str(kind), "json")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, (int, float, str)) for one in value):
        return ", ".join(_text(one) for one in value)
    return json.dumps(value)


def _value(one: Mapping[str, Any], text: str, field: str) -> Any:
    kind = _kind(one)
    if kind == "choice":
        for choice in one["enum"]:
            if _text(choice) == text:
                return choice
        raise Invalid(
            f"{field} is {format_value(text)}: expected one of {', '.join(map(_text, one['enum']))}", field=field
        )
    if kind in ("number", "integer"):
        return _number(text, field)
    if kind == "boolean":
        if text not in ("true", "false"):
            raise Invalid(f"{field} is {format_value(text)}: expected true or false", field=field)
        return text == "true"
    if kind == "list":
        parts = [part.strip() for part in text.strip("[]").split(",") if part.strip()]
        if len(parts) > MOST_LISTED:
            raise Invalid(f"{field} has {len(parts)} values: expected at most {MOST_LISTED}", field=field)
        return [part.strip("\"'") if one["items"]["type"] == "string" else _number(part, field) for part in parts]
    if kind == "text":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(f"{field} is {format_value(text)}: expected JSON", field=field) from None


def _number(text: str, field: str) -> int | float:
    if not NUMBER.fullmatch(text) or len(text) > 400:
        raise Invalid(f"{field} is {format_value(text)}: expected a number", field=field)
    if text.lstrip("+-").isdigit() and len(text) < 19:
        return int(text)
    return float(text)
