"""What requests contain: declarations of their fields, and the values read from a JSON body or a query.

As in MLflow, unknown fields are ignored, whole numbers may be texts, and a field that isn't given has its default value.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest

from server.api.codec import body, parse
from server.core.errors import Invalid
from server.core.validation import check_text, format_value
from server.tracking.models.names import LONGEST_KEY

Reader = Callable[[Any, str], Any]
LARGEST = 2**62
LONGEST_TEXT = 20_000


class Field:
    """A field of a request.

    Parameters
    ----------
    read
        Returns its value, or raises :class:`server.core.errors.Invalid`.
    required
        Whether it must be given, and not be an empty text.
    default
        Its value if it isn't given.
    repeated
        Whether it has several values.
    """

    def __init__(self, read: Reader, *, required: bool = False, default: Any = None, repeated: bool = False) -> None:
        self.read, self.required, self.repeated = read, required, repeated
        self.default = default

    def value(self, given: Any, path: str) -> Any:
        if self.repeated:
            if type(given) is not list:
                raise _wrong(given, path, "a list")
            return [self.read(one, f"{path}[{number}]") for number, one in enumerate(given)]
        return self.read(given, path)


Fields = Mapping[str, Field]


def text(longest: int = LONGEST_TEXT, **options: Any) -> Field:
    """A text."""

    def read(given: Any, path: str) -> str:
        return check_text(given, path, longest)

    return Field(read, **{"default": "", **options})


def texts(longest: int = LONGEST_TEXT, **options: Any) -> Field:
    """Several texts."""
    return text(longest, repeated=True, **{"default": (), **options})


def key(**options: Any) -> Field:
    """The key of a metric, param or tag."""
    return text(LONGEST_KEY, required=True, **options)


def whole(**options: Any) -> Field:
    """A whole number of 64 bits, or its text."""
    return Field(read_whole, **options)


def read_whole(given: Any, path: str) -> int:
    value = given
    if (
        isinstance(value, str)
        and value.removeprefix("-").isascii()
        and value.removeprefix("-").isdigit()
        and len(value) < 21
    ):
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not -LARGEST - 1 <= value <= LARGEST:
        raise _wrong(given, path, "a whole number")
    return value


def number(**options: Any) -> Field:
    """A number, or the text of one, with NaN and infinities."""
    return Field(read_number, **options)


def read_number(given: Any, path: str) -> float:
    if type(given) is float:
        return given
    try:
        if type(given) is int or isinstance(given, str):
            return float(given)
    except (ValueError, OverflowError):
        pass
    raise _wrong(given, path, "a number")


def yes_or_no(**options: Any) -> Field:
    """A boolean, or its text."""

    def read(given: Any, path: str) -> bool:
        value = {"true": True, "false": False}.get(given.lower(), given) if isinstance(given, str) else given
        if type(value) is not bool:
            raise _wrong(given, path, "true or false")
        return value

    return Field(read, **options)


def one_of(*names: str, numbers: Mapping[Any, str] | None = None, **options: Any) -> Field:
    """One of some words, or its number in MLflow's protocol."""

    def read(given: Any, path: str) -> str:
        number = int(given) if isinstance(given, str) and given.isdecimal() and len(given) < 10 else given
        value = (numbers or {}).get(number, given) if isinstance(number, (int, float)) else given
        if not isinstance(value, str) or value not in names:
            raise _wrong(given, path, f"one of {', '.join(names)}")
        return value

    return Field(read, **options)


def message(fields: Fields, **options: Any) -> Field:
    """An object with fields."""

    def read(given: Any, path: str) -> dict[str, Any]:
        if type(given) is not dict:
            raise _wrong(given, path, "an object")
        return read_fields(fields, given, path)

    return Field(read, **options)


def messages(fields: Fields, **options: Any) -> Field:
    """Several objects with fields."""
    return message(fields, repeated=True, **{"default": (), **options})


def read_fields(fields: Fields, given: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the values of all fields.

    Raises
    ------
    Invalid
        If one is missing or wrong. The message names it.
    """
    found = {}
    for name, field in fields.items():
        value = given.get(name)
        where = f"{path}.{name}" if path else name
        if value is None or (field.required and value == ""):
            if field.required:
                raise Invalid(f"Missing value for required parameter '{where}'.", field=where, code="missing")
            found[name] = field.default
        else:
            found[name] = field.value(value, where)
    return found


def read_request(fields: Fields, request: HttpRequest, parts: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that a request has: of its query for GET, else of its body; and those of its address.

    Raises
    ------
    Invalid
        If one is missing or wrong, or the body is no JSON object.
    """
    if request.method == "GET":
        query = request.GET
        given = {
            name: query.getlist(name) if fields[name].repeated else query[name] for name in fields if name in query
        }
    else:
        data = body(request)
        given = parse(data) if data.strip() else {}
        if type(given) is not dict:
            raise Invalid("the body is not a JSON object", code="not_an_object")
    return read_fields(fields, {**given, **parts})


def _wrong(given: Any, path: str, expected: str) -> Invalid:
    return Invalid(
        f"Invalid value {format_value(given)} for parameter '{path}' supplied: expected {expected}", field=path
    )
