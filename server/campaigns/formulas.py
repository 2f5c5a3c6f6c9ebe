"""Formulas of nominal compositions: read on any scale and in any order, and normalised so that equal ones are found."""

import math
import re
from dataclasses import dataclass
from typing import Any

from server.core.errors import Invalid
from server.core.validation import check_text, format_value

LONGEST = 100
_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir "
    "Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl "
    "Mc Lv Ts Og "
)
ELEMENTS = frozenset(_SYMBOLS.split())
_PART = re.compile(r"([A-Z][a-z]?)([0-9]+(?:\.[0-9]+)?)?", re.ASCII)


@dataclass(frozen=True)
class Formula:
    """A composition as it was written.

    Attributes
    ----------
    text
        As it was written.
    shares
        Element to its share of 100, elements by the alphabet.
    """

    text: str
    shares: dict[str, float]

    @property
    def key(self) -> str:
        """The normalised form, the same for every way to write the composition: shares of 100, rounded to four decimals."""
        return "".join(f"{element}{f'{share:.4f}'.rstrip('0').rstrip('.')}" for element, share in self.shares.items())


def parse(text: Any, field: str = "composition") -> Formula:
    """Read a formula such as ``Zr49Cu49Al2``, ``CuZr`` or ``Cu0.5Zr0.5``. A missing amount counts as 1.

    Raises
    ------
    Invalid
        If it is something else, or an amount is 0, or a symbol is repeated or is not that of an element.
    """
    text = check_text(text, field, LONGEST)
    parts = _PART.findall(text)
    if not parts or "".join(symbol + amount for symbol, amount in parts) != text:
        raise Invalid(
            f"{field} is {format_value(text)}: expected elements and their amounts, such as Zr49Cu49Al2", field=field
        )
    amounts: dict[str, float] = {}
    for symbol, amount in parts:
        if symbol not in ELEMENTS:
            raise Invalid(f"{field} is {format_value(text)}: {symbol} is not an element", field=field)
        if symbol in amounts:
            raise Invalid(f"{field} is {format_value(text)}: {symbol} is repeated", field=field)
        amounts[symbol] = float(amount or 1)
        if amounts[symbol] == 0:
            raise Invalid(f"{field} is {format_value(text)}: the amount of {symbol} is 0: leave it out", field=field)
    total = math.fsum(amounts.values())
    return Formula(text, {symbol: 100 * amounts[symbol] / total for symbol in sorted(amounts)})


def key_of(text: str) -> str | None:
    """Return the normalised form of a formula; None if it can't be read as one."""
    try:
        return parse(text).key
    except Invalid:
        return None
