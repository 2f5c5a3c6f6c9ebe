"""`BondFeatures`: the length of a bond and the first numbers of what surrounds it, always in the same order."""

from __future__ import annotations

from typing import Any

from river import base

from ._bond_features import read_bond

__all__ = ["BondFeatures"]


class BondFeatures(base.Transformer):
    """Keep the distance and the first SOAP numbers of a bond, checked, in a fixed order.

    River's ``Select`` keeps its names in a set, whose order differs from process to process, and with it the trees of a
    seeded forest.

    Parameters
    ----------
    components
        How many of ``s0, s1, …`` are kept; each bond must have them.

    Raises
    ------
    ValueError
        From `transform_one`, if one is missing or not a finite number, or the distance isn't positive.

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
        """Return the features that are kept."""
        distance, soap = read_bond(x, self.components)
        return {"distance": distance, **{f"s{k}": value for k, value in enumerate(soap.tolist())}}
