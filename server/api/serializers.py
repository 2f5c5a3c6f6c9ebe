"""Base classes of serializers, which declare bodies and query parameters.

A serializer is the only declaration of a body: it checks requests, and :mod:`server.api.v1.openapi` publishes its schema. An
invalid value raises :class:`server.core.errors.Invalid`, which names the field, the value and what was expected.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.fields import empty

from server.api.fields import Schema, read, refuse
from server.core.errors import Invalid
from server.core.validation import format_value


class Serializer(serializers.Serializer):
    """An object in a response.

    Attributes
    ----------
    is_closed
        Whether it has no other fields.
    keywords
        Additional JSON Schema keywords.
    variants
        Alternative forms of the object, each with ``requires`` (its required fields), ``without`` (fields that it
        doesn't have), ``title``, and keywords of fields. Empty if it has one form.
    """

    is_closed: ClassVar[bool] = False
    keywords: ClassVar[Schema] = {}
    variants: ClassVar[Sequence[Schema]] = ()


class RequestSerializer(Serializer):
    """An object in a request. Unknown fields are refused."""

    is_closed = True

    def run_validation(self, data: Any = empty) -> Any:
        return self.read(data, "")

    def read(self, value: Any, path: str) -> dict[str, Any]:
        """Return the checked fields, with defaults for missing ones.

        Raises
        ------
        Invalid
            If a field is invalid. The error has its complete path.
        """
        known = ", ".join(self.fields)
        prefix = f"{path}." if path else ""
        if type(value) is not dict:
            refuse(value, path, f"an object with {known}")
        for name, field in self.fields.items():
            if field.required and name not in value:
                message = f"{prefix}{name} is missing: expected an object with {known}"
                raise Invalid(message, field=prefix + name, code="missing")
        for name in value:
            if name not in self.fields:
                unknown = f"{prefix}{name}: expected an object with" if path else f"{name!r}: expected"
                message = f"unknown field {unknown} {known}" if known else f"unknown field {name!r}: expected none"
                raise Invalid(message, field=prefix + name, code="unknown_field")
        return self.validate(_values(self.fields, value, prefix))  # type: ignore[no-any-return]


class QuerySerializer(RequestSerializer):
    """Query parameters. A missing one without a default is None."""

    def read(self, value: QueryDict, path: str) -> dict[str, Any]:  # type: ignore[override]
        """Return the checked parameters.

        Raises
        ------
        Invalid
            If one is invalid. The message names it, its value and what was expected.
        """
        for name, values in value.lists():
            if name not in self.fields:
                expected = f"expected {', '.join(self.fields)}" if self.fields else "this address has no parameters"
                raise Invalid(
                    f"unknown query parameter {format_value(name)}: {expected}", field=name, code="unknown_field"
                )
            if len(values) > 1:
                raise Invalid(f"query parameter {name} is given {len(values)} times: expected once", field=name)
        fields: Mapping[str, Any] = self.fields
        given = {name: fields[name].from_text(text) for name, text in value.items()}
        return dict.fromkeys(self.fields) | _values(fields, given, "")


def _values(fields: Mapping[str, Any], given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found = {}
    for name, field in fields.items():
        if name in given:
            found[name] = read(field, given[name], prefix + name)
        elif field.default is not empty:
            found[name] = field.default
    return found
