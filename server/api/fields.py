"""Fields of bodies and query parameters (see :mod:`server.api.serializers`)."""

import re
from collections.abc import Collection
from typing import Any, ClassVar, NoReturn

from rest_framework import serializers

from server.core.errors import Invalid
from server.core.validation import check_name, check_text, format_value, whole_as_int

Schema = dict[str, Any]

LARGEST = 2**63 - 1
LARGEST_NUMBER = 1.7976931348623157e308
LONGEST_IN_QUERY = 1_000
STORABLE = "^[^\\u0000]*$"
"""Pattern of text that both databases can store. JSON can't contain a lone surrogate."""
NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000\\u001c-\\u001f\\u0085][^\\u0000]*$"
"""The same for text with at least one character that Python doesn't consider whitespace."""
_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")


def refuse(value: Any, path: str, expected: str) -> NoReturn:
    """Raise the error for an invalid value."""
    raise Invalid(f"{path} is {format_value(value)}: expected {expected}", field=path)


def read(field: Any, value: Any, path: str) -> Any:
    """Return the checked value of a field. It may be null if the field allows it."""
    return None if value is None and field.allow_null else field.read(value, path)


class Field(serializers.Field):
    """A JSON value of any kind. Its first argument is its description.

    Parameters
    ----------
    keywords
        Additional JSON Schema keywords of the field.
    """

    def __init__(self, help_text: str | None = None, keywords: Schema | None = None, **options: Any) -> None:
        super().__init__(help_text=help_text, **options)
        self.keywords = keywords or {}

    def described(self, generator: Any) -> Schema:
        """Return the field's JSON Schema; ``generator`` describes the fields that it contains."""
        return dict(self.keywords)

    def read(self, value: Any, path: str) -> Any:
        """Return the checked value; ``path`` is its place in the request."""
        return value

    def from_text(self, text: str) -> Any:
        """Return the value of a query parameter's text."""
        return text

    def to_representation(self, value: Any) -> Any:
        return value


class Text(Field):
    """A string of at most ``max_length`` characters."""

    def __init__(self, help_text: str | None = None, **options: Any) -> None:
        self.max_length, self.min_length = options.pop("max_length", None), options.pop("min_length", 0)
        self.pattern = options.pop("pattern", None if self.max_length is None else STORABLE)
        super().__init__(help_text, **options)

    def described(self, generator: Any) -> Schema:
        keywords = {"maxLength": self.max_length, "minLength": self.min_length, "pattern": self.pattern}
        return {"type": "string"} | {name: value for name, value in keywords.items() if value} | self.keywords

    def read(self, value: Any, path: str) -> Any:
        value = check_text(value, path, self.max_length or LARGEST)
        if len(value) < self.min_length or (self.pattern == NOT_BLANK and not value.strip()):
            raise Invalid(f"{path} is empty: expected text", field=path)
        return value


class Name(Field):
    """A name that can be part of an address.

    Parameters
    ----------
    of
        The kind of a new object that gets this name. If None, the name is not checked: an invalid name is simply not found.
    """

    def __init__(self, of: str | None = None, help_text: str | None = None, **options: Any) -> None:
        self.of = of
        expected = "1 to 200 letters, digits, '.', '_' or '-', the first a letter or a digit"
        super().__init__(help_text or expected, **options)

    def described(self, generator: Any) -> Schema:
        return {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"}

    def read(self, value: Any, path: str) -> Any:
        if self.of is not None:
            return check_name(value, self.of, path)
        return value if isinstance(value, str) else refuse(value, path, "a string")


class Choice(Text):
    """One of several strings."""

    def __init__(self, choices: Collection[str], help_text: str | None = None, **options: Any) -> None:
        super().__init__(help_text, **options)
        self.choices = list(choices)

    def described(self, generator: Any) -> Schema:
        nothing = [None] if self.allow_null else []
        return {"type": "string", "enum": self.choices + nothing} | self.keywords

    def read(self, value: Any, path: str) -> Any:
        return value if value in self.choices else refuse(value, path, f"one of {', '.join(self.choices)}")


class Flag(Field):
    """True or false."""

    def described(self, generator: Any) -> Schema:
        return {"type": "boolean"}

    def read(self, value: Any, path: str) -> Any:
        return value if type(value) is bool else refuse(value, path, "true or false")


class Number(Field):
    """An integer or a floating-point number."""

    kind: ClassVar[str] = "number"
    types: ClassVar[tuple[type, ...]] = (int, float)

    def __init__(self, help_text: str | None = None, **options: Any) -> None:
        self.min_value, self.max_value = options.pop("min_value", None), options.pop("max_value", None)
        super().__init__(help_text, **options)

    def described(self, generator: Any) -> Schema:
        keywords = {"type": self.kind, "minimum": self.min_value, "maximum": self.max_value}
        return {name: value for name, value in keywords.items() if value is not None} | self.keywords

    def read(self, value: Any, path: str) -> Any:
        low, high = self.min_value, self.max_value
        if type(value) not in self.types or (low is not None and value < low) or (high is not None and value > high):
            what = "a whole number" if self.kind == "integer" else "a number"
            bounds = f"at least {low}" if high in (None, LARGEST) else f"from {low} to {high}"
            refuse(value, path, f"{what} {bounds}{' or null' if self.allow_null else ''}")
        return value


class Whole(Number):
    """An integer. It may be written as 3.0, because JSON doesn't distinguish them."""

    kind = "integer"
    types = (int,)

    def read(self, value: Any, path: str) -> Any:
        return super().read(whole_as_int(value), path)

    def from_text(self, text: str) -> Any:
        return int(text) if _INTEGER.match(text) else text


class Count(Whole):
    """An integer of at least 0, in responses."""

    def __init__(self, help_text: str | None = None, **options: Any) -> None:
        super().__init__(help_text, **{"min_value": 0, **options})


class Time(Text):
    """A time in ISO 8601."""

    def described(self, generator: Any) -> Schema:
        return {"type": "string", "format": "date-time"}


class Items(Field):
    """A list."""

    def __init__(self, child: Any, help_text: str | None = None, **options: Any) -> None:
        self.child = child
        self.min_length, self.max_length = options.pop("min_length", 0), options.pop("max_length", None)
        super().__init__(help_text, **options)

    def described(self, generator: Any) -> Schema:
        keywords = {"minItems": self.min_length, "maxItems": self.max_length}
        limits = {name: value for name, value in keywords.items() if value}
        return {"type": "array", "items": generator.described(self.child)} | limits | self.keywords

    def read(self, value: Any, path: str) -> Any:
        if type(value) is not list or not self.min_length <= len(value) <= (self.max_length or LARGEST):
            size = f" of {self.min_length} to {self.max_length} values" if self.max_length else ""
            refuse(value, path, f"a list{size}{', or null' if self.allow_null else ''}")
        return [read(self.child, one, f"{path}[{index}]") for index, one in enumerate(value)]


class Map(Field):
    """An object with any names of fields, and values of one kind."""

    def __init__(self, child: Any = None, help_text: str | None = None, **options: Any) -> None:
        self.child, self.names = child, options.pop("names", None)
        self.min_length, self.max_length = options.pop("min_length", 0), options.pop("max_length", None)
        super().__init__(help_text, **options)

    def described(self, generator: Any) -> Schema:
        keywords = {
            "minProperties": self.min_length,
            "maxProperties": self.max_length,
            "propertyNames": self.names and self.names.described(generator),
            "additionalProperties": self.child and generator.described(self.child),
        }
        return {"type": "object"} | {name: value for name, value in keywords.items() if value} | self.keywords

    def read(self, value: Any, path: str) -> Any:
        return value if type(value) is dict else refuse(value, path, "an object")


class Described(Field):
    """A value that is described here, but checked by the module that uses it. It may have several kinds.

    Parameters
    ----------
    kinds
        A field, a serializer or a JSON Schema, or a tuple of several.
    """

    def __init__(self, kinds: Any, help_text: str | None = None, **options: Any) -> None:
        super().__init__(help_text, **options)
        self.kinds = kinds if isinstance(kinds, tuple) else (kinds,)

    def described(self, generator: Any) -> Schema:
        found = [generator.described(kind) for kind in self.kinds]
        return {"anyOf": found} if len(found) > 1 else found[0]
