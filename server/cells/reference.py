"""Learned observations for the comparison of distances: the list, a sample of them, and the features compared."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Any

from server.cells import exporting, selection
from server.cells.exporting import Labeled
from server.cells.nearest import MAX_LEARNED
from server.cells.selection import Selected
from server.core.errors import TooLarge
from server.streams.models import Stream

MAX_BYTES = 256 * 2**20
VALUE_BYTES = 80
"""Memory of a value in a dictionary, bytes, measured: 56 to 100."""
"""Bytes of names and values of the observations that one call compares, about."""
EVER = 2**62
"""An id greater than that of any retraction."""

_OF_DESCRIPTOR = re.compile(r"s[0-9]+\Z")


def learned(stream_id: int, since: int, upto: int) -> dict[str, list[Selected]]:
    """Return the observations of cells after ``since`` up to ``upto``, by type, in the log's order, without retracted ones."""
    found: dict[str, list[Selected]] = defaultdict(list)
    for bonds in selection.candidates(stream_id, upto, EVER):
        for number, kind in zip(bonds.numbers, bonds.types, strict=True):
            if number > since:
                found[kind].append(Selected(number, bonds.cell, bonds.composition, kind, bonds.family))
    return found


def drawn(stream_id: int, some: dict[str, list[Selected]], kinds: Set[str]) -> dict[str, list[Labeled]]:
    """Read a sample of each of these types from the log, at most :data:`server.cells.nearest.MAX_LEARNED`, always the same."""
    chosen: list[Selected] = []
    for kind in kinds & set(some):
        of_kind = some[kind]
        if len(of_kind) > MAX_LEARNED:
            of_kind = selection.draw(iter(of_kind), defaultdict(int), MAX_LEARNED, "coverage")
        chosen += of_kind
    return by_type(exporting.read(stream_id, sorted(chosen)))


def by_type(batches: Iterable[list[Labeled]]) -> dict[str, list[Labeled]]:
    """Observations that were read, by type. Those whose features are no longer kept are left out.

    Raises
    ------
    TooLarge
        If they take more than :data:`MAX_BYTES`.
    """
    found: dict[str, list[Labeled]] = defaultdict(list)
    size = 0
    for some in batches:
        for labeled in some:
            if labeled.x is None:
                continue
            size += sum(
                len(name) + VALUE_BYTES + (len(value) if type(value) is str else 0) for name, value in labeled.x.items()
            )
            found[labeled.one.type].append(labeled)
        if size > MAX_BYTES:
            raise TooLarge(
                f"the observations to compare take more than {MAX_BYTES // 2**20} MB: make a database of fewer, "
                "or of observations with fewer and shorter features"
            )
    return found


def vector_names(stream: Stream, xs: Sequence[dict[str, Any]]) -> list[str]:
    """The features that distances are between: ``s0``, ``s1`` … of a descriptor; else all that are numbers."""
    names: set[str] = set()
    others: set[str] = set()
    for x in xs:
        for name, value in x.items():
            (names if isinstance(value, (int, float)) else others).add(name)
    names -= others | {stream.segment or ""}
    return sorted(name for name in names if stream.descriptor is None or is_of_descriptor(name))


def is_of_descriptor(name: str) -> bool:
    """Return whether a feature is one of the numbers ``s0``, ``s1`` … of a descriptor."""
    return _OF_DESCRIPTOR.match(name) is not None
