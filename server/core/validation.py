"""Validation of names, texts and observations, for both APIs."""

import math
import re
import threading
from itertools import chain
from sys import getsizeof
from typing import Any

from django.conf import settings

from server.core.errors import Invalid, TooLarge
from server.core.printable import brief

FEATURE_KINDS = {"number": (int, float), "boolean": (bool,), "category": (str,)}
TARGET_KINDS = ("number", "boolean", "category", "any", "none")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")
LARGEST_SHAPE_CACHE = 1024
MOST_BYTES_OF_SHAPES = 2**20
"""Largest memory of the feature sets that one checker remembers. A larger single set is checked each time."""
_NUMBERS = {int, float}
_NUMBERS_AND_BOOLEANS = {int, float, bool}


def check_name(name: Any, what: str, field: str = "name") -> str:
    """Return the name if it can be part of a URL.

    Raises
    ------
    Invalid
        If it isn't a string of letters, digits, ``.``, ``_`` and ``-`` that starts with a letter or digit.
    """
    if not isinstance(name, str) or not NAME.match(name):
        raise Invalid(
            f"{format_value(name)} is not a valid name of a {what}: expected 1 to 200 letters, digits, '.', '_' or '-', "
            "starting with a letter or a digit",
            field=field,
        )
    return name


def check_size(x: bytes | str, field: str) -> None:
    """Check the size of a point's features in their stored form.

    Raises
    ------
    TooLarge
        If they exceed ``TAILRACE_MAX_POINT_BYTES``.
    """
    most: int = settings.TAILRACE.max_point_bytes
    if len(x) > most:
        raise TooLarge(
            f"{field} takes {len(x)} bytes of JSON: the most allowed is {most} (TAILRACE_MAX_POINT_BYTES)", field=field
        )


def check_text(value: Any, field: str, longest: int) -> str:
    """Return the value if it is a string of at most ``longest`` characters without NUL, which PostgreSQL can't store.

    Raises
    ------
    Invalid
        If it isn't.
    """
    if not isinstance(value, str):
        raise Invalid(f"{field} is {format_value(value)}: expected a string", field=field)
    if len(value) > longest:
        raise Invalid(f"{field} has {len(value)} characters: the longest allowed is {longest}", field=field)
    if "\x00" in value or (not value.isprintable() and any(0xD800 <= ord(c) < 0xE000 for c in value)):
        raise Invalid(f"{field} contains a character that can't be stored (NUL or a lone surrogate)", field=field)
    return value


def whole_as_int(value: Any) -> Any:
    """Return a float such as 3.0 as an int, because JSON doesn't distinguish them. Return any other value unchanged."""
    return int(value) if type(value) is float and value.is_integer() else value


def format_value(value: Any) -> str:
    """Return a value as messages show it: short, in JSON notation."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return brief(value)


class Checker:
    """Checks points against the limits and the declaration of a stream.

    Parameters
    ----------
    features
        Kind of each declared feature by name; None if the stream declares none.
    target_kind
        One of :data:`TARGET_KINDS`.
    """

    def __init__(self, features: dict[str, str] | None, target_kind: str) -> None:
        limits = settings.TAILRACE
        self.features = features
        self.target_kind = target_kind
        self.most = limits.max_features
        self.longest_name = limits.max_name_length
        self.longest_string = limits.max_string_length
        self.size = 0
        """Memory of the remembered feature sets, bytes."""
        self._shapes: set[tuple[str, ...]] = set()
        self._remembering = threading.Lock()

    def x(self, x: Any, field: str = "x") -> None:
        """Check the features of one point.

        Raises
        ------
        Invalid
            If a feature is wrong. The message names the feature, its value and what was expected.
        """
        if type(x) is not dict:
            raise Invalid(
                f"{field} is {format_value(x)}: expected an object of feature names and numbers, strings or booleans",
                field=field,
            )
        shape = tuple(x)
        is_new = shape not in self._shapes
        if is_new:
            self._check_shape(x, field)
        for name, value in x.items():
            kind = type(value)
            if kind is int or kind is bool:
                continue
            if kind is float:
                if value - value == 0.0:
                    continue
                raise Invalid(f"{field}.{name} is {value}: expected a finite number", field=f"{field}.{name}")
            self._check_string(name, value, field)
        if self.features is not None:
            self._check_kinds(x, field)
        if is_new:
            self._remember(shape)

    def forget(self) -> None:
        """Forget the feature sets that were checked."""
        with self._remembering:
            self._shapes.clear()
            self.size = 0

    def _remember(self, shape: tuple[str, ...]) -> None:
        size = getsizeof(shape) + sum(map(getsizeof, shape))
        if size > MOST_BYTES_OF_SHAPES:
            return
        with self._remembering:
            if shape in self._shapes:
                return
            if len(self._shapes) >= LARGEST_SHAPE_CACHE or self.size + size > MOST_BYTES_OF_SHAPES:
                self._shapes.clear()
                self.size = 0
            self._shapes.add(shape)
            self.size += size

    def pass_quick_check(self, xs: list[Any], ys: list[Any]) -> bool:
        """Whether many points, as the JSON parser returned them, are valid by a quick check.

        False doesn't mean that they are invalid: check them one by one. Points with strings, and points of a stream that
        declares its features, always need that.
        """
        if self.features is not None or self.target_kind != "number":
            return False
        if not (set(map(type, ys)) <= _NUMBERS and set(map(type, xs)) == {dict}):
            return False
        if not set(map(type, chain.from_iterable(map(dict.values, xs)))) <= _NUMBERS_AND_BOOLEANS:
            return False
        return set(map(tuple, xs)) <= self._shapes

    def y(self, y: Any, field: str = "y") -> None:
        """Check the target of one point against the stream's kind of target.

        Raises
        ------
        Invalid
            If it has the wrong kind. The message names the value and what was expected.
        """
        kind, target = type(y), self.target_kind
        if kind is float and not math.isfinite(y):
            raise Invalid(f"{field} is {y}: expected a finite number", field=field)
        if target == "number":
            if kind is float or kind is int:
                return
            expected = "a number"
        elif target == "boolean":
            if kind is bool or (kind in (int, float) and y in (0, 1)):
                return
            expected = "true or false (or 0 or 1)"
        elif target == "category":
            if kind in (str, bool, int, float):
                self._check_label(y, field)
                return
            expected = "a label: a string, boolean or number"
        elif target == "none":
            if y is None:
                return
            expected = "null (this stream has no target)"
        else:
            if y is None or kind in (str, bool, int, float):
                self._check_label(y, field)
                return
            expected = "a number, string, boolean or null"
        raise Invalid(f"{field} is {format_value(y)}: expected {expected}", field=field)

    def _check_label(self, y: Any, field: str) -> None:
        if type(y) is str:
            check_text(y, field, self.longest_string)

    def _check_shape(self, x: dict[str, Any], field: str) -> None:
        if not x:
            raise Invalid(f"{field} is empty: expected at least one feature", field=field)
        if len(x) > self.most:
            raise TooLarge(f"{field} has {len(x)} features: the most allowed is {self.most}", field=field)
        for name in x:
            if not name:
                raise Invalid(f"{field} has a feature with an empty name", field=field)
            check_text(name, f"the name of feature {format_value(name)}", self.longest_name)
        if self.features is not None:
            unknown = [name for name in x if name not in self.features]
            missing = [name for name in self.features if name not in x]
            if unknown or missing:
                parts = [f"unknown {', '.join(unknown)}"] if unknown else []
                parts += [f"missing {', '.join(missing)}"] if missing else []
                raise Invalid(
                    f"{field} doesn't have the features that the stream declares ({', '.join(self.features)}): "
                    + "; ".join(parts),
                    field=f"{field}.{(unknown or missing)[0]}",
                )

    def _check_string(self, name: str, value: Any, field: str) -> None:
        path = f"{field}.{name}"
        if type(value) is not str:
            raise Invalid(f"{path} is {format_value(value)}: expected a number, a string or a boolean", field=path)
        check_text(value, path, self.longest_string)

    def _check_kinds(self, x: dict[str, Any], field: str) -> None:
        assert self.features is not None
        for name, value in x.items():
            kind = self.features[name]
            if type(value) not in FEATURE_KINDS[kind]:
                raise Invalid(f"{field}.{name} is {format_value(value)}: expected a {kind}", field=f"{field}.{name}")
