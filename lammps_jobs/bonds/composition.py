"""What a glass is made of: ``Zr49Cu49Al2`` in words that a command line takes, and how many atoms of each that is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.frames import is_element

__all__ = ["Composition"]

_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")


@dataclass(frozen=True)
class Composition:
    """Elements and their shares.

    Attributes
    ----------
    text
        As it was given, which names the cells.
    shares
        By element, in the order given; any scale.
    """

    text: str
    shares: dict[str, float]

    @classmethod
    def parse(cls, text: str) -> Composition:
        """Read ``Cu50Zr50``, ``Zr49Cu49Al2`` or ``CuZr``; a number that is left out is 1.

        Raises
        ------
        Refused
            For anything else, an element that is none or is there twice, or a share of 0.
        """
        parts = _PART.findall(text)
        if not parts or "".join(symbol + number for symbol, number in parts) != text:
            raise Refused(f"{text!r} is no composition: expected elements and their shares, such as Zr49Cu49Al2")
        shares: dict[str, float] = {}
        for symbol, number in parts:
            if not is_element(symbol) or symbol in shares:
                raise Refused(f"{symbol!r} in {text!r} {'is there twice' if symbol in shares else 'is no element'}")
            shares[symbol] = float(number or 1)
            if shares[symbol] == 0.0:
                raise Refused(f"the share of {symbol} in {text!r} is 0: expected more, or leave it out")
        return cls(text, shares)

    def counts(self, atoms: int) -> dict[str, int]:
        """How many of `atoms` are of each element: whole numbers with that sum, as near to the shares as can be.

        Raises
        ------
        Refused
            If there are so few atoms that an element gets none.
        """
        total = sum(self.shares.values())
        exact = {symbol: share / total * atoms for symbol, share in self.shares.items()}
        counts = {symbol: int(count) for symbol, count in exact.items()}
        # What is left goes to those that lost most by rounding down.
        for symbol in sorted(exact, key=lambda one: counts[one] - exact[one])[: atoms - sum(counts.values())]:
            counts[symbol] += 1
        if none := [symbol for symbol, count in counts.items() if count == 0]:
            raise Refused(f"{atoms} atoms of {self.text} are too few: there would be no {none[0]}")
        return counts
