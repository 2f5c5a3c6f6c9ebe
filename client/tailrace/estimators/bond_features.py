"""`BondFeatures`: a transformer that keeps the distance and the first SOAP numbers of a bond, in a fixed order."""

from __future__ import annotations

from typing import Any

from river import base

from ._bond_features import read_bond

__all__ = ["BondFeatures"]


class BondFeatures(base.Transformer):
    """Checks the distance and the first SOAP numbers of a bond, and keeps them in a fixed order.

    River's ``Select`` keeps its names in a set. The order of a set differs between processes, and so would the trees of
    a seeded forest.

    Parameters
    ----------
    components
        Number of features ``s0, s1, …`` to keep, 0 to 1024. Each bond must have them.

    Raises
    ------
    ValueError
        If `components` is out of range. By `transform_one`: if a feature is missing or not a finite number, or the
        distance is not positive.

    Examples
    --------
    >>> from tailrace.estimators.bond_features import BondFeatures

    >>> BondFeatures(2).transform_one({"s1": 0.2, "s0": 0.9, "s2": 0.1, "distance": 2.8})
    {'distance': 2.8, 's0': 0.9, 's1': 0.2}
    """

    def __init__(self, components: int = 8) -> None:
        if not 0 <= components <= 1024:
            raise ValueError(f"components is from 0 to 1024, got {components!r}")
        self.components = components

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the kept features."""
        distance, soap = read_bond(x, self.components)
        return {"distance": distance, **{f"s{k}": value for k, value in enumerate(soap.tolist())}}
