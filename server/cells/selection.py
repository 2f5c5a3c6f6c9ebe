"""Which observations a database of interactions holds: the same for the same definition and log, in every process.

Nothing here depends on the order of a set, on Python's hash or on a random state. Where a definition asks for *n* of a type,
every candidate has a lot, SHA-256 over the seed, the name of its cell and its place in the cell, and the *n* smallest are
taken. So the choice of a cell's bonds doesn't depend on which other observations the log holds in between.
"""

import fnmatch
import hashlib
import heapq
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from server.cells.models import Cell
from server.streams.codec import loads
from server.streams.models import Retraction


class Definition(NamedTuple):
    """What is selected from the cells of a stream.

    Attributes
    ----------
    compositions
        Only cells of one of these; None for all.
    cells
        Only cells whose name one of these patterns fits (``*``, ``?``, ``[…]``); None for all.
    types
        Only these values of the stream's segment feature, and how many of each at most (None: all); None for all.
    seed
        Decides which, where there are more.
    """

    compositions: list[str] | None
    cells: list[str] | None
    types: dict[str, int | None] | None
    seed: int

    def fitting(self) -> Callable[["Bonds"], bool]:
        """What tells whether a cell is selected from."""
        compositions = None if self.compositions is None else frozenset(self.compositions)
        patterns = None if self.cells is None else [re.compile(fnmatch.translate(pattern)) for pattern in self.cells]

        def fits(bonds: Bonds) -> bool:
            if compositions is not None and bonds.composition not in compositions:
                return False
            return patterns is None or any(pattern.match(bonds.cell) for pattern in patterns)

        return fits


class Bonds(NamedTuple):
    """The observations of one cell that come into question: ``numbers[k]`` is of the type ``types[k]``."""

    cell: str
    composition: str
    first: int
    numbers: list[int]
    types: list[str]


class Selected(NamedTuple):
    """One observation of a selection."""

    number: int
    cell: str
    composition: str
    type: str


def candidates(stream_id: int, until: int, retraction: int) -> Iterator[Bonds]:
    """What the cells of a stream hold up to observation ``until``, but for what was retracted by then, in the log's order."""
    retracted = set(
        Retraction.objects.filter(stream_id=stream_id, pk__lte=retraction, seq__lte=until).values_list("seq", flat=True)
    )
    rows = (
        Cell.objects.filter(stream_id=stream_id, status=Cell.LABELED, first__lte=until)
        .order_by("first")
        .values_list("name", "composition", "first", "types")
    )
    for name, composition, first, types in rows.iterator(chunk_size=500):
        assert first is not None, "a labeled cell has observations"
        assert types is not None
        decoded = loads(types)
        names = decoded["names"]
        numbers, kinds = [], []
        for number, place in enumerate(decoded["of"], first):
            if number <= until and number not in retracted:
                numbers.append(number)
                kinds.append(names[place])
        yield Bonds(name, composition, first, numbers, kinds)


def select(stream_id: int, definition: Definition, until: int, retraction: int) -> list[Selected]:
    """The observations of a definition, by number."""
    fitting = list(filter(definition.fitting(), candidates(stream_id, until, retraction)))
    wanted = definition.types
    if wanted is None:
        return [one for bonds in fitting for one in _all_of(bonds, None)]
    found: list[Selected] = []
    for kind, most in sorted(wanted.items()):
        of_kind = (one for bonds in fitting for one in _all_of(bonds, kind))
        if most is None:
            found += of_kind
        else:
            found += drawn(of_kind, {bonds.cell: bonds.first for bonds in fitting}, most, str(definition.seed))
    return sorted(found)


def drawn(some: Iterator[Selected], firsts: dict[str, int], most: int, seed: str) -> list[Selected]:
    """Those ``most`` of them with the smallest lots.

    Parameters
    ----------
    some
        Observations.
    firsts
        The number of the first observation of each cell.
    """
    lots = ((lot(seed, one.cell, one.number - firsts[one.cell]), one) for one in some)
    return [one for _, one in heapq.nsmallest(most, lots)]


def lot(seed: str, cell: str, index: int) -> bytes:
    """SHA-256 over ``seed NUL cell NUL index`` in UTF-8: what decides which bonds are taken."""
    return hashlib.sha256(f"{seed}\0{cell}\0{index}".encode()).digest()


def _all_of(bonds: Bonds, kind: str | None) -> Iterator[Selected]:
    for number, own in zip(bonds.numbers, bonds.types, strict=True):
        if kind is None or own == kind:
            yield Selected(number, bonds.cell, bonds.composition, own)


def counts(selected: list[Selected]) -> dict[str, dict[str, int]]:
    """Type to composition to number of observations, sorted by name."""
    found: dict[str, dict[str, int]] = {}
    for one in selected:
        of_type = found.setdefault(one.type, {})
        of_type[one.composition] = of_type.get(one.composition, 0) + 1
    return {kind: dict(sorted(of_type.items())) for kind, of_type in sorted(found.items())}


def definition_of(asked: dict[str, Any]) -> Definition:
    """The definition in a database's stored JSON."""
    return Definition(asked["compositions"], asked["cells"], asked["types"], asked["seed"])
