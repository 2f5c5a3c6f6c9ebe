"""The learned observations that others are compared with: which there are, which are drawn, and what of them is compared."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Any

from server.cells import exporting, selection
from server.cells.exporting import Labeled
from server.cells.nearest import MOST
from server.cells.selection import Selected
from server.streams.models import Stream

EVER = 2**62
"""Later than any retraction."""

_OF_DESCRIPTOR = re.compile(r"s[0-9]+\Z")


def learned(stream_id: int, since: int, upto: int) -> dict[str, list[Selected]]:
    """Observations of cells after number ``since`` up to ``upto``, by type, in the log's order; without retracted ones."""
    found: dict[str, list[Selected]] = defaultdict(list)
    for bonds in selection.candidates(stream_id, upto, EVER):
        for number, kind in zip(bonds.numbers, bonds.types, strict=True):
            if number > since:
                found[kind].append(Selected(number, bonds.cell, bonds.composition, kind))
    return found


def drawn(stream_id: int, some: dict[str, list[Selected]], kinds: Set[str]) -> dict[str, list[Labeled]]:
    """At most :data:`server.cells.nearest.MOST` of each of these types, by lot, the same every time; read from the log."""
    chosen: list[Selected] = []
    for kind in kinds & set(some):
        of_kind = some[kind]
        if len(of_kind) > MOST:
            of_kind = selection.drawn(iter(of_kind), defaultdict(int), MOST, "coverage")
        chosen += of_kind
    return by_type(exporting.read(stream_id, sorted(chosen)))


def by_type(batches: Iterable[list[Labeled]]) -> dict[str, list[Labeled]]:
    """Observations that were read, by type."""
    found: dict[str, list[Labeled]] = defaultdict(list)
    for some in batches:
        for labeled in some:
            found[labeled.one.type].append(labeled)
    return found


def vector_names(stream: Stream, xs: Sequence[dict[str, Any]]) -> list[str]:
    """The features that distances are between: ``s0``, ``s1`` … of a descriptor; else all that are numbers."""
    names = sorted({name for x in xs for name in x})
    if stream.descriptor is not None:
        names = [name for name in names if is_of_descriptor(name)]
    return [
        name for name in names if name != stream.segment and all(isinstance(x.get(name, 0), (int, float)) for x in xs)
    ]


def is_of_descriptor(name: str) -> bool:
    """Whether a feature is one of the numbers ``s0``, ``s1`` … that a descriptor defines."""
    return _OF_DESCRIPTOR.match(name) is not None
