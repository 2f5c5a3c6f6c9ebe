"""JSON Schemas of the parameters of programs, as agents send them, and parameters held against them.

Agents are not trusted with more than their own cluster's work, so a schema may only use keywords that can neither make the server
fetch something (``$ref``) nor search for very long (``pattern``).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError, best_match

from server.core.errors import Invalid, TooLarge
from server.core.json_codec import dumps_exact
from server.core.validation import format_value

KEYWORDS = frozenset(
    [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "enum",
        "const",
        "default",
        "title",
        "description",
        "unit",
        "examples",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "$schema",
    ]
)
"""Keywords that a schema may have. ``unit`` is our own."""

LARGEST = 100_000
DEEPEST = 20
LARGEST_PARAMETERS = 256 * 2**10
"""Most bytes of JSON of one step's parameters."""
LARGEST_TOGETHER = 8 * 2**20
"""The same of all steps of a calculation. Parameters that steps share count for each step, because each step stores them."""
MOST_ERRORS = 100
"""Most errors of parameters that are looked at for the best message."""


def _unique_items(_: Any, is_wanted: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Check ``uniqueItems`` in one pass. The library compares each item with each other one if they are objects."""
    if is_wanted and type(instance) is list and len({_frozen(item) for item in instance}) < len(instance):
        yield ValidationError("has items that are not unique")


def _frozen(value: Any) -> Any:
    """Return a value that can be hashed, and that is equal to another one where JSON Schema says so: 1 is 1.0, and not true."""
    if type(value) is dict:
        return (dict, frozenset((name, _frozen(one)) for name, one in value.items()))
    if type(value) is list:
        return (list, tuple(map(_frozen, value)))
    return (bool, value) if type(value) is bool else value


_Validator = validators.extend(Draft202012Validator, {"uniqueItems": _unique_items})


def check_schema(schema: Any, program: str) -> None:
    """Check the schema of a program's parameters.

    Raises
    ------
    Invalid
        If it isn't one, is too large, or has other keywords than :data:`KEYWORDS`.
    """
    if type(schema) is not dict or schema.get("type") != "object":
        raise Invalid(
            f"the schema of program {program} is {format_value(schema)}: expected a JSON Schema of type object"
        )
    if len(dumps_exact(schema)) > LARGEST:
        raise Invalid(f"the schema of program {program} is longer than {LARGEST} bytes")
    _check_keywords(schema, program, 0)
    _check_depth(schema, f"the schema of program {program}")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise Invalid(f"the schema of program {program} is no JSON Schema: {exc.message}") from exc


def _check_keywords(schema: Any, program: str, depth: int) -> None:
    if type(schema) is bool:
        return
    if type(schema) is not dict or depth > DEEPEST:
        raise Invalid(f"the schema of program {program} has {format_value(schema)} in place of a schema")
    unknown = sorted(set(schema) - KEYWORDS)
    if unknown:
        raise Invalid(
            f"the schema of program {program} has the keyword {unknown[0]}, which is not allowed: expected "
            f"{', '.join(sorted(KEYWORDS))}"
        )
    properties = schema.get("properties", {})
    if type(properties) is not dict:
        raise Invalid(
            f"properties in the schema of program {program} is {format_value(properties)}: expected an object"
        )
    inner = [*properties.values()]
    inner += [schema[name] for name in ("items", "additionalProperties") if name in schema]
    inner += schema.get("prefixItems", [])
    for one in inner:
        _check_keywords(one, program, depth + 1)


class Sizes:
    """The parameters of a calculation's steps so far, bytes of JSON."""

    def __init__(self) -> None:
        self._together = 0

    def add(self, parameters: dict[str, Any], where: str) -> None:
        """Count the parameters of one more step.

        Raises
        ------
        Invalid
            If they are nested too deep.
        TooLarge
            If they are too large, or those of all steps are.
        """
        _check_depth(parameters, where)
        size = len(dumps_exact(parameters))
        self._together += size
        if size > LARGEST_PARAMETERS:
            raise TooLarge(
                f"{where} has {size} bytes of JSON: the most allowed is {LARGEST_PARAMETERS}; put large input into a file on the "
                "cluster, and name the file",
                field=where,
            )
        if self._together > LARGEST_TOGETHER:
            raise TooLarge(
                f"the parameters of the steps have more than {LARGEST_TOGETHER} bytes of JSON together, with those that steps "
                f"share counted for each (seen at {where}): submit several calculations, or make the parameters smaller",
                field=where,
            )


def _check_depth(value: Any, where: str, left: int = 2 * DEEPEST) -> None:
    if type(value) in (dict, list):
        if left == 0:
            raise Invalid(f"{where} is nested deeper than {2 * DEEPEST} levels", field=where)
        for one in value.values() if type(value) is dict else value:
            _check_depth(one, where, left - 1)


def complete(parameters: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with the schema's defaults for those that are missing."""
    properties = schema.get("properties", {})
    defaults = {name: one["default"] for name, one in properties.items() if type(one) is dict and "default" in one}
    return {**defaults, **parameters}


def check_parameters(parameters: dict[str, Any], schema: dict[str, Any], where: str, program: str) -> None:
    """Hold parameters against a program's schema.

    Parameters
    ----------
    where
        The path of the parameters in the request.

    Raises
    ------
    Invalid
        If they don't match. The message names the parameter, its value and what was expected.
    """
    error = best_match(islice(_Validator(schema).iter_errors(parameters), MOST_ERRORS))
    if error is None:
        return
    path = ".".join([where, *(str(part) for part in error.absolute_path)])
    known = schema.get("properties", {})
    if error.validator == "additionalProperties":
        extra = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        what = f"{path} has {', '.join(extra)}: program {program} has the parameters {', '.join(sorted(known))}"
        raise Invalid(what, field=f"{path}.{extra[0]}" if extra else path, code="unknown_field")
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        raise Invalid(
            f"{path}.{missing} is missing: program {program} needs it", field=f"{path}.{missing}", code="missing"
        )
    expected = _expected(str(error.validator), error.validator_value)
    unit = error.schema.get("unit") if isinstance(error.schema, dict) else None
    told = f" ({unit})" if isinstance(unit, str) else ""
    raise Invalid(f"{path} is {format_value(error.instance)}: expected {expected}{told}", field=path)


def _expected(keyword: str, value: Any) -> str:
    """Return what a keyword of a schema asks for, in words."""
    if keyword == "type":
        return f"a value of the type {value if isinstance(value, str) else ' or '.join(value)}"
    if keyword == "enum":
        return f"one of {', '.join(map(format_value, value))}"
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "more than",
        "exclusiveMaximum": "less than",
    }
    return f"{words.get(keyword, keyword)} {format_value(value)}"
