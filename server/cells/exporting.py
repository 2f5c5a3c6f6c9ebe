"""Export of a selection's observations as NDJSON: constant memory, and the same bytes every time."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from server.cells.selection import Selected
from server.core.json_codec import dumps
from server.streams import log
from server.streams.points import BATCH_POINTS


class Labeled(NamedTuple):
    """One observation of a selection with its features and target."""

    one: Selected
    x: dict[str, Any]
    y: Any


def read(stream_id: int, selected: Sequence[Selected]) -> Iterator[list[Labeled]]:
    """Yield the observations of a selection (sorted by number), in lists of at most one batch of the log."""
    position = 0
    while position < len(selected):
        end = position
        # Observations whose neighbours are at most a batch apart are read at once.
        while end + 1 < len(selected) and selected[end + 1].number - selected[end].number <= BATCH_POINTS:
            end += 1
        for span in log.spans(stream_id, selected[position].number - 1, selected[end].number):
            some = []
            while position <= end and selected[position].number <= span.last:
                offset = selected[position].number - span.first
                some.append(Labeled(selected[position], span.xs[offset], span.ys[offset]))
                position += 1
            if some:
                yield some
        position = end + 1


def ndjson(stream_id: int, selected: Sequence[Selected]) -> Iterator[bytes]:
    """Yield one line for each observation: its number, cell, composition, features and target."""
    for some in read(stream_id, selected):
        yield b"".join(
            dumps({"seq": one.number, "cell": one.cell, "composition": one.composition, "x": x, "y": y}) + b"\n"
            for one, x, y in some
        )


def fingerprint(stream_id: int, selected: Sequence[Selected]) -> str:
    """Return the SHA-256 in hex of the output of :func:`ndjson`."""
    digest = hashlib.sha256()
    for chunk in ndjson(stream_id, selected):
        digest.update(chunk)
    return digest.hexdigest()
