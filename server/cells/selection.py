"""Selection of the observations of a database of interactions: the same for the same definition and log, in every process.

Nothing here depends on the order of a set, on Python's hash or on a random state. If a definition asks for *n* observations of
a type, each candidate gets a lot: the SHA-256 of the seed, the name of its cell and its index in the cell. The *n* smallest lots
are selected. So the choice doesn't depend on other observations in the log.
"""

import fnmatch
import hashlib
import heapq
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from server.cells.models import Cell
from server.core.json_codec import loads
from server.streams.models import Retraction


class Definition(NamedTuple):
    """Criteria of a selection from the cells of a stream.

    Attributes
    ----------
    compositions
        Only cells of these compositions; None for all.
    cells
        Only cells whose name matches one of these patterns (``*``, ``?``, ``[…]``); None for all.
    types
        Only these values of the stream's segment feature, each with the most observations (None: all); None for all values.
    seed
        Seed of the choice if there are more.
    """

    compositions: list[str] | None
    cells: list[str] | None
    types: dict[str, int | None] | None
    seed: int

    def fitting(self) -> Callable[["Bonds"], bool]:
        """Return a function that tells whether a cell matches."""
        compositions = None if self.compositions is None else frozenset(self.compositions)
        patterns = None if self.cells is None else [re.compile(fnmatch.translate(pattern)) for pattern in self.cells]

        def fits(bonds: Bonds) -> bool:
            if compositions is not None and bonds.composition not in compositions:
                return False
            return patterns is None or any(pattern.match(bonds.cell) for pattern in patterns)

        return fits


class Bonds(NamedTuple):
    """The candidate observations of one cell: ``numbers[k]`` has the type ``types[k]``."""

    cell: str
    composition: str
    first: int
    numbers: list[int]
    types: list[str]
    family: str


class Selected(NamedTuple):
    """One observation of a selection."""

    number: int
    cell: str
    composition: str
    type: str
    family: str


def candidates(stream_id: int, until: int, retraction: int) -> Iterator[Bonds]:
    """Yield the cells' observations up to number ``until``, without those retracted up to ``retraction``, in the log's order."""
    retracted = set(
        Retraction.objects.filter(stream_id=stream_id, pk__lte=retraction, seq__lte=until).values_list("seq", flat=True)
    )
    rows = (
        Cell.objects.filter(stream_id=stream_id, status=Cell.LABELED, first__lte=until)
        .order_by("first")
        .values_list("name", "composition", "first", "types", "family")
    )
    for name, composition, first, types, family in rows.iterator(chunk_size=500):
        assert first is not None, "a labeled cell has observations"
        assert types is not None
        decoded = loads(types)
        names = decoded["names"]
        numbers, kinds = [], []
        for number, place in enumerate(decoded["of"], first):
            if number <= until and number not in retracted:
                numbers.append(number)
                kinds.append(names[place])
        yield Bonds(name, composition, first, numbers, kinds, family or name)


def select(stream_id: int, definition: Definition, until: int, retraction: int) -> list[Selected]:
    """Return the observations that a definition selects, by number."""
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
            found += draw(of_kind, {bonds.cell: bonds.first for bonds in fitting}, most, str(definition.seed))
    return sorted(found)


def draw(some: Iterator[Selected], firsts: dict[str, int], most: int, seed: str) -> list[Selected]:
    """Return the ``most`` observations with the smallest lots.

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
    """Return the lot of a bond: the SHA-256 of ``seed NUL cell NUL index`` in UTF-8."""
    return hashlib.sha256(f"{seed}\0{cell}\0{index}".encode()).digest()


def _all_of(bonds: Bonds, kind: str | None) -> Iterator[Selected]:
    for number, own in zip(bonds.numbers, bonds.types, strict=True):
        if kind is None or own == kind:
            yield Selected(number, bonds.cell, bonds.composition, own, bonds.family)


def counts(selected: list[Selected]) -> dict[str, dict[str, int]]:
    """Return type to composition to number of observations, sorted by name."""
    found: dict[str, dict[str, int]] = {}
    for one in selected:
        of_type = found.setdefault(one.type, {})
        of_type[one.composition] = of_type.get(one.composition, 0) + 1
    return {kind: dict(sorted(of_type.items())) for kind, of_type in sorted(found.items())}


def definition_of(asked: dict[str, Any]) -> Definition:
    """Return the definition in a database's stored JSON."""
    return Definition(asked["compositions"], asked["cells"], asked["types"], asked["seed"])
