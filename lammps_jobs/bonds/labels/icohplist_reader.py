"""Parser for ``ICOHPLIST.lobster`` that checks every line. See `icohplist.read`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NoReturn

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.types import LabeledBond

__all__ = ["Reader"]

_ATOM = re.compile(r"([A-Z][a-z]?)([1-9]\d*)((?:_\w\S*)?)")
_SPIN = re.compile(r"for\s+spin\s+(\d+)")
_ENERGY = re.compile(r"ICOHP\s*\(at\)\s*eF")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
_MIRROR_TOLERANCE = 2e-3


class Reader:
    """Reads one file.

    Parameters
    ----------
    path
        Path of the file, for messages.

    Attributes
    ----------
    count
        Number of bonds that the file lists for each spin. LOBSTER announces the same number in its report. Set by
        `read`.
    spins
        Number of spins that the file has energies for.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.count, self.spins = 0, 1
        self._path = path
        self._line = 0
        self._text = ""
        self._decimals: tuple[int, ...] = ()
        self._blank = False

    def read(self, lines: Iterable[str]) -> list[LabeledBond]:
        """Return all bonds in a file's lines. The lines include their newlines. See `icohplist.read`."""
        rows = self._lines(lines)
        header = next(rows, None)
        if header is None:
            raise Refused("the file is empty: expected the header of an ICOHPLIST.lobster", self._path)
        energies = self.spins = self._header(header, spin=1, rows=rows)
        bonds, second = self._block(rows, energies)
        if second is not None:
            self.spins = 2
            self._header(second, spin=2, rows=rows)
            down, third = self._block(rows, energies)
            if third is not None:
                self._refuse("a third header: expected one block of bonds for each of two spins")
            bonds = self._both_spins(bonds, down)
        elif not bonds:
            raise Refused("the file ends after its header: it lists no bond", self._path, self._line)
        self.count = len(bonds)
        return self._each_once(bonds)

    def _lines(self, lines: Iterable[str]) -> Iterator[str]:
        for self._line, text in enumerate(lines, start=1):
            self._text = text
            if not text.strip():
                if not text.endswith(("\n", "\r")):
                    self._refuse("the file ends in blanks, as in the middle of a row: it is truncated")
                self._blank = True
                continue
            if self._blank:
                self._refuse("it follows an empty line: expected rows without empty lines between them")
            yield text

    def _header(self, text: str, spin: int, rows: Iterator[str]) -> int:
        """Check a header. Return the number of energies in its rows."""
        words = text.split()
        if words[0] != "COHP#":
            other = words[0].endswith("#") and f": it is a list of {words[0][:-1]}s"
            self._refuse(
                f"expected the header of an ICOHPLIST.lobster (COHP# atomMU …), found {words[0]!r}{other or ''}"
            )
        if "translation" not in words:
            self._refuse(
                "the header has no column 'translation': the file is cut here, or was written by LOBSTER before 3.0, which "
                "does not tell which image of an atom a bond leads to (write it again with 3.0 or later)"
            )
        if not words[1].startswith("atom"):
            self._refuse(f"its bonds are between {words[1]}s: expected atoms (the list without LCFO in its name)")
        energies = len(_ENERGY.findall(text))
        if energies == 2 and spin == 1:
            text = next(rows, "")
        expected = [str(number) for number in range(spin, spin + energies)]
        found = _SPIN.findall(text)
        if energies not in (1, 2) or found != expected:
            self._refuse(
                "the header is cut or is not one of LOBSTER 3.0 to 5.1: expected one column 'ICOHP (at) eF for spin "
                f"{spin}'{', or two, and a second line with for spin 1 and for spin 2' if spin == 1 else ''}"
            )
        return energies

    def _block(self, rows: Iterator[str], energies: int) -> tuple[list[LabeledBond], str | None]:
        """Return the bonds up to the next header, and that header."""
        bonds: list[LabeledBond] = []
        for text in rows:
            words = text.split()
            if words[0].endswith("#"):
                if energies == 2 or not bonds:
                    self._refuse("a second header: expected rows of bonds")
                return bonds, text
            bond = self._row(words, 7 + energies, len(bonds))
            if bond is not None:
                bonds.append(bond)
        return bonds, None

    def _row(self, words: list[str], columns: int, before: int) -> LabeledBond | None:
        """Return the bond of a row; None for a row of two orbitals."""
        if len(words) != columns:
            self._refuse(f"expected {columns} columns, found {len(words)}{self._breaks_off()}")
        (a, i, orbital), (b, j, other) = self._atom(words[1]), self._atom(words[2])
        is_bond = not orbital and not other
        if words[0] != str(before + is_bond):
            self._refuse(
                f"COHP# is {words[0]}: expected {before + is_bond}, one more than in the row above (a row is missing, "
                "repeated, or damaged)"
            )
        distance = self._number(words[3], "distance")
        values = [self._number(word, "ICOHP") for word in words[7:]]
        decimals = tuple(len(word.partition(".")[2]) for word in (words[3], *words[7:]))
        if not self._decimals and self._text.endswith("\n"):
            self._decimals = decimals
        elif decimals != self._decimals:
            above = f", {_and(self._decimals)} in the rows above" if self._decimals else ""
            self._refuse(f"distance and ICOHP have {_and(decimals)} decimals{above}{self._breaks_off()}")
        x, y, z = (self._whole(word) for word in words[4:7])
        if distance <= 0.0:
            self._refuse(f"the distance is {words[3]} Å: expected more than 0")
        if not is_bond:
            return None
        if i == j and x == y == z == 0:
            self._refuse(f"{words[1]} is bonded to itself, without a translation")
        bond = LabeledBond(i, j, (x, y, z), distance, (a, b), sum(values), self._line)
        return bond if i <= j else replace(bond, i=j, j=i, translation=(-x, -y, -z), elements=(b, a))

    def _atom(self, word: str) -> tuple[str, int, str]:
        found = _ATOM.fullmatch(word)
        if found is None:
            self._refuse(f"{word!r} is not an atom: expected an element and a number, such as Cu1")
        return found[1], int(found[2]) - 1, found[3]

    def _number(self, word: str, what: str) -> float:
        # Python would take 1_0 as 10.
        value = float(word) if _NUMBER.fullmatch(word) else math.nan
        if not math.isfinite(value):
            self._refuse(f"{what} is {word!r}: expected a finite number{self._breaks_off()}")
        return value

    def _whole(self, word: str) -> int:
        if not _WHOLE.fullmatch(word):
            self._refuse(f"the translation has {word!r}: expected three whole numbers{self._breaks_off()}")
        return int(word)

    def _both_spins(self, up: list[LabeledBond], down: list[LabeledBond]) -> list[LabeledBond]:
        for one, other in zip(up, down, strict=False):
            if replace(one, icohp=0.0, line=0) != replace(other, icohp=0.0, line=0):
                raise Refused(
                    f"it is not the bond of line {one.line}: both spins must list the same bonds in the same order",
                    self._path,
                    other.line,
                )
        if len(up) != len(down):
            raise Refused(
                f"the file ends after {len(down)} bonds for spin 2: expected {len(up)}, as for spin 1 (it is truncated)",
                self._path,
                self._line,
            )
        return [replace(one, icohp=one.icohp + other.icohp) for one, other in zip(up, down, strict=True)]

    def _each_once(self, bonds: list[LabeledBond]) -> list[LabeledBond]:
        seen: dict[tuple[int, int, tuple[int, int, int]], LabeledBond] = {}
        names: dict[int, str] = {}
        once = []
        for bond in bonds:
            for atom, name in zip((bond.i, bond.j), bond.elements, strict=True):
                if names.setdefault(atom, name) != name:
                    self._refuse(f"atom {atom + 1} is {name} here and {names[atom]} above", bond.line)
            x, y, z = bond.translation
            if bond.i == bond.j and (first := seen.get((bond.i, bond.j, (-x, -y, -z)))) is not None:
                if abs(first.icohp - bond.icohp) <= _MIRROR_TOLERANCE:
                    continue
                self._refuse(
                    f"it is the bond of line {first.line} from its other side, but its ICOHP is {bond.icohp:.5f} eV "
                    f"instead of {first.icohp:.5f}",
                    bond.line,
                )
            key = (bond.i, bond.j, bond.translation)
            if (first := seen.get(key)) is not None:
                self._refuse(f"the bond of line {first.line} is listed twice", bond.line)
            seen[key] = bond
            once.append(bond)
        return once

    def _breaks_off(self) -> str:
        return "" if self._text.endswith("\n") else " (the file ends in the middle of this row: it is truncated)"

    def _refuse(self, reason: str, line: int | None = None) -> NoReturn:
        raise Refused(reason, self._path, self._line if line is None else line)


def _and(numbers: tuple[int, ...]) -> str:
    return " and ".join(str(number) for number in numbers)
