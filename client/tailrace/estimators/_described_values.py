"""Checks of the values of a description, and `DescriptionError`, which names the wrong value."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from tailrace.errors import Unusable
from tailrace.estimators._catalog import full_name, full_names
from tailrace.estimators.limits import step_name_problem

_SCALARS: dict[str, tuple[type, ...]] = {
    "None": (type(None),),
    "bool": (bool,),
    "float": (int, float),
    "int": (int,),
    "str": (str,),
}


class DescriptionError(Unusable):
    """A description cannot be built, or an estimator cannot be described.

    Parameters
    ----------
    message
        What is wrong, with which value, and what was expected.
    field
        Path of the wrong value, such as ``estimator.steps[0].params.lr``.
    """

    def __init__(self, message: str, field: str) -> None:
        message, field = (text.encode(errors="backslashreplace").decode() for text in (message, field))
        super().__init__(f"{field}: {message}")
        self.message = message
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.field)


def check_text(text: str, field: str) -> None:
    """Refuse text with half a character (a lone surrogate), which cannot be stored, logged or sent."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DescriptionError(f"{shown(text)} is not Unicode: it has half a character", field) from error


def check_step_name(name: Any, field: str) -> None:
    """Refuse a name of a step that is too long or not printable."""
    if (problem := step_name_problem(name)) is not None:
        raise DescriptionError(f"the name of a step {problem}", field)


def check_step(cls: type, step: Any, field: str) -> None:
    """Refuse a step that is not an estimator. River itself checks this only at the first observation."""
    from river import base

    if not isinstance(step, base.Estimator):
        raise DescriptionError(
            f"{full_name(type(step))} can't be a step of {full_name(cls)}: it is not an estimator", field
        )


def check_kind(cls: type, parameter: inspect.Parameter, value: Any, field: str) -> None:
    """Refuse a value that does not match the type that river declares for a parameter, if it is a simple type."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return
    default, annotation = parameter.default, parameter.annotation
    if annotation is parameter.empty:
        number = isinstance(default, (int, float)) and not isinstance(default, bool)
        if number and isinstance(value, (str, bool, list, dict, type)):
            raise DescriptionError(f"{full_name(cls)} takes a number as {parameter.name}, not {shown(value)}", field)
        return
    tokens = annotation.split(" | ") if isinstance(annotation, str) else []
    scalars = [token for token in tokens if token in _SCALARS]
    kinds = [kind for token in tokens if (kind := _river_class(token)) is not None]
    if not tokens or len(scalars) + len(kinds) != len(tokens) or (value is None and default is None):
        return
    plain = any(type(value) in _SCALARS[token] for token in scalars)
    if not plain and not any(isinstance(value, kind) for kind in kinds):
        raise DescriptionError(f"{full_name(cls)} takes {annotation} as {parameter.name}, not {shown(value)}", field)


def _river_class(token: str) -> type | None:
    """Returns the class that an annotation in river means, such as ``base.Regressor`` or ``optim.base.Loss``."""
    import river.api

    found: Any = river.api
    for part in token.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType) else None
    return found if isinstance(found, type) and issubclass(found, river.api.base.Base) else None


def shown(value: Any) -> str:
    """Returns a value as messages show it, truncated."""
    if type(value) in full_names():
        name = full_name(type(value))
    else:
        name = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return name if len(name) <= 80 else f"{name[:80]}…"
