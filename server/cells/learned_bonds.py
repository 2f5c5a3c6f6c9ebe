"""The learned bonds of a stream's cells as arrays: a million are read in a second."""

import hashlib
from dataclasses import dataclass

import numpy as np

from server.cells.models import Cell
from server.core.json_codec import loads
from server.streams.models import Retraction


@dataclass(frozen=True)
class LearnedBonds:
    """n learned bonds, by number. Each of the arrays has the shape (n,).

    Attributes
    ----------
    numbers
        Numbers of their observations.
    kinds, families, compositions
        Places in the lists of names.
    cells
        Number of each bond's cell, in the log's order.
    lots
        A number of each that depends on its cell's name and its place in the cell alone: the smallest are drawn for a sample.
    undeformed
        Whether each bond is one of an undeformed cell.
    kind_names, family_names, composition_names
        Bond types, families and compositions.
    """

    numbers: np.ndarray
    kinds: np.ndarray
    families: np.ndarray
    compositions: np.ndarray
    cells: np.ndarray
    lots: np.ndarray
    undeformed: np.ndarray
    kind_names: list[str]
    family_names: list[str]
    composition_names: list[str]

    def sample(self, kind: int, most: int, among: np.ndarray | None = None) -> np.ndarray:
        """Return the places of at most ``most`` bonds of a type, in their order: those with the smallest lots.

        ``among`` is a mask of the bonds to choose from.
        """
        own = np.flatnonzero(self.kinds == kind if among is None else (self.kinds == kind) & among)
        return own if len(own) <= most else np.sort(own[np.lexsort((own, self.lots[own]))[:most]])

    def of_cells(self, most: int) -> np.ndarray:
        """Return a mask of the bonds of at most ``most`` cells, as many of each composition as can be.

        The first cell of each family comes first, then the second ones, and so on. Those of equal place in their families are
        drawn.
        """
        cells, starts, sizes = np.unique(self.cells, return_index=True, return_counts=True)
        lots = np.minimum.reduceat(self.lots, starts) if len(starts) else self.lots
        place = _places(self.families[starts], np.arange(len(cells)))
        place = _places(self.compositions[starts], np.lexsort((lots, place)))
        is_chosen = np.zeros(len(cells), dtype=bool)
        is_chosen[np.lexsort((lots, place))[:most]] = True
        return np.repeat(is_chosen, sizes)


def _places(groups: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the place of each of n members in its group, in this order, shape (n,)."""
    grouped = order[np.argsort(groups[order], kind="stable")]
    _, begins, sizes = np.unique(groups[grouped], return_index=True, return_counts=True)
    found = np.empty(len(groups), dtype=np.int64)
    found[grouped] = np.arange(len(groups)) - np.repeat(begins, sizes)
    return found


def read(stream_id: int, since: int, upto: int, retraction: int) -> LearnedBonds:
    """Return the bonds after ``since`` up to ``upto``, without those that retractions up to the ID ``retraction`` retracted."""
    rows = (
        Cell.objects.filter(stream_id=stream_id, status=Cell.LABELED, first__lte=upto, last__gt=since)
        .order_by("first")
        .values_list("name", "family", "composition", "first", "types")
    )
    kinds: dict[str, int] = {}
    families: dict[str, int] = {}
    compositions: dict[str, int] = {}
    parts = []
    for cell, (name, family, composition, first, types) in enumerate(rows.iterator(chunk_size=100)):
        assert first is not None, "a labeled cell has observations"
        assert types is not None
        decoded = loads(types)
        codes = np.array([kinds.setdefault(kind, len(kinds)) for kind in decoded["names"]], dtype=np.int32)
        of = codes[np.array(decoded["of"], dtype=np.int64)]
        size = len(of)
        parts.append(
            (
                np.arange(first, first + size, dtype=np.int64),
                of,
                np.full(size, families.setdefault(family or name, len(families)), dtype=np.int32),
                np.full(size, compositions.setdefault(composition, len(compositions)), dtype=np.int32),
                np.full(size, cell, dtype=np.int32),
                _lots(name, size),
                np.full(size, not family or name in (family, f"{family}-00"), dtype=bool),
            )
        )
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return LearnedBonds(empty, empty, empty, empty, empty, empty, empty.astype(bool), [], [], [])
    numbers, of_kind, of_family, of_composition, cells, lots, undeformed = (
        np.concatenate(some) for some in zip(*parts, strict=True)
    )
    retracted = Retraction.objects.filter(stream_id=stream_id, pk__lte=retraction).values_list("seq", flat=True)
    kept = (numbers > since) & (numbers <= upto) & ~np.isin(numbers, np.fromiter(retracted, dtype=np.int64))
    return LearnedBonds(
        numbers[kept], of_kind[kept], of_family[kept], of_composition[kept], cells[kept], lots[kept],
        undeformed[kept], list(kinds), list(families), list(compositions),
    )  # fmt: skip


def _lots(cell: str, size: int) -> np.ndarray:
    """Return a lot for each bond of a cell: splitmix64 of a seed from its name. Whole numbers are the same on every processor."""
    seed = int.from_bytes(hashlib.sha256(cell.encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        mixed = np.uint64(seed) + np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
