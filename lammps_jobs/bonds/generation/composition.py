"""Compositions such as ``Zr49Cu49Al2``: parse them, and compute the number of atoms of each element."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.structures.frames import is_element

__all__ = ["Composition"]

_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")


@dataclass(frozen=True)
class Composition:
    """Elements and their shares.

    Attributes
    ----------
    text
        The composition as given, which is part of the cells' names.
    shares
        Share of each element, in the order given. Only their ratios matter.
    """

    text: str
    shares: dict[str, float]

    @classmethod
    def parse(cls, text: str) -> Composition:
        """Parse ``Cu50Zr50``, ``Zr49Cu49Al2`` or ``CuZr``. A missing number counts as 1.

        Raises
        ------
        Refused
            If the text is something else, a symbol is not an element or is repeated, or a share is 0.
        """
        parts = _PART.findall(text)
        if not parts or "".join(symbol + number for symbol, number in parts) != text:
            raise Refused(f"{text!r} is not a composition: expected elements and their shares, such as Zr49Cu49Al2")
        shares: dict[str, float] = {}
        for symbol, number in parts:
            if not is_element(symbol) or symbol in shares:
                raise Refused(f"{symbol!r} in {text!r} {'is repeated' if symbol in shares else 'is not an element'}")
            shares[symbol] = float(number or 1)
            if shares[symbol] == 0.0:
                raise Refused(f"the share of {symbol} in {text!r} is 0: expected more, or leave it out")
        return cls(text, shares)

    def counts(self, atoms: int) -> dict[str, int]:
        """Return the number of atoms of each element: as close to the shares as possible, with the sum `atoms`.

        Raises
        ------
        Refused
            If an element would get no atom.
        """
        total = sum(self.shares.values())
        exact = {symbol: share / total * atoms for symbol, share in self.shares.items()}
        counts = {symbol: int(count) for symbol, count in exact.items()}
        # The remaining atoms go to the elements that lost most by rounding down.
        for symbol in sorted(exact, key=lambda one: counts[one] - exact[one])[: atoms - sum(counts.values())]:
            counts[symbol] += 1
        if none := [symbol for symbol, count in counts.items() if count == 0]:
            raise Refused(f"{atoms} atoms of {self.text} are too few: there would be no {none[0]}")
        return counts
