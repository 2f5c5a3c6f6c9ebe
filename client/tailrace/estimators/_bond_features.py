"""Reading and checking the features of bonds from a dict, a table, or arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bonds_of", "checked_arrays", "count_numbers", "read_bond"]


def count_numbers(x: dict[Any, Any]) -> int:
    """Returns the number of features ``s0, s1, …`` up to the first one that is missing."""
    count = 0
    while f"s{count}" in x:
        count += 1
    return count


def read_bond(x: dict[Any, Any], components: int) -> tuple[float, np.ndarray]:
    """Returns the distance in Å and the first SOAP numbers, shape (components,), of one bond.

    Raises
    ------
    ValueError
        If a feature is missing or not a finite number, or the distance is not positive.
    """
    try:
        distance, *numbers = _reader(components)(x)
        distance = float(distance)
        soap = np.array(numbers, dtype=float)
    except KeyError as error:
        raise ValueError(
            f"a bond has {_names(components)} here; there is no {error.args[0]}: was it described by another definition?"
        ) from None
    except (TypeError, ValueError, OverflowError):
        raise ValueError(_wrong(components, x)) from None
    if not (0.0 < distance < math.inf and math.isfinite(soap.sum())):
        raise ValueError(_wrong(components, x))
    return distance, soap


@lru_cache(maxsize=16)
def _reader(components: int) -> Callable[[dict[Any, Any]], tuple[Any, ...]]:
    if not components:
        return lambda x: (x["distance"],)
    return itemgetter("distance", *(f"s{i}" for i in range(components)))


def _names(components: int) -> str:
    return f"a distance and the numbers s0 to s{components - 1}" if components else "a distance"


def _wrong(components: int, x: dict[Any, Any]) -> str:
    for name in ("distance", *(f"s{i}" for i in range(components))):
        try:
            good = math.isfinite(float(x[name]))
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good:
            return f"{name} is a finite number; got {x[name]!r}"
    return f"distance is a length in Å, above 0, and the numbers of a SOAP vector are of the order of 1; got {x['distance']!r}"


def bonds_of(X: pd.DataFrame, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns distances, shape (n,), and SOAP numbers, shape (n, P), of a table with columns ``distance, s0, s1, …``.

    Parameters
    ----------
    X
        One row for each bond.
    most
        Largest P. Further columns are ignored.

    Raises
    ------
    ValueError
        If there is no column ``distance``, or a value is not a number.
    """
    present = set(X.columns)
    if "distance" not in present:
        raise ValueError(f"a bond has a distance; the columns are {', '.join(map(str, X.columns[:8]))}")
    names: list[str] = []
    while len(names) < most and f"s{len(names)}" in present:
        names.append(f"s{len(names)}")
    return X["distance"].to_numpy(dtype=float), X[names].to_numpy(dtype=float)


def checked_arrays(distance: Any, soap: Any, strength: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns distances (Å), SOAP numbers and strengths (eV) as arrays of shape (n,), (n, P) and (n,).

    Raises
    ------
    ValueError
        If the shapes do not match, a number is not finite, or a distance is not positive.
    """
    distance, soap, strength = (np.asarray(values, dtype=float) for values in (distance, soap, strength))
    if distance.ndim != 1 or soap.ndim != 2 or not len(distance) == len(soap) == len(strength):
        raise ValueError(
            "expected distances and strengths of shape (n,) and SOAP numbers of shape (n, P); got "
            f"{distance.shape}, {strength.shape} and {soap.shape}"
        )
    wrong = ~((distance > 0) & np.isfinite(distance) & np.isfinite(soap).all(axis=1) & np.isfinite(strength))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"bond {row} (counted from 0) has the distance {distance[row]} Å and the strength {strength[row]} eV: "
            "expected finite numbers throughout, and a distance above 0"
        )
    return distance, soap, strength
