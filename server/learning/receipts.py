"""What became of the points of a request, also of one that is repeated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError

from server.streams import locks, log


@dataclass
class Receipt:
    """What became of a submission.

    Attributes
    ----------
    seqs
        The number of each point, in the order given.
    duplicates
        How many had been there before.
    predictions
        Model name to what it predicted for each point before learning it.
    errors
        Model name to {index: reason} for the points that it skipped.
    """

    seqs: Sequence[int] = ()
    duplicates: int = 0
    predictions: dict[str, list[Any]] = field(default_factory=dict)
    errors: dict[str, dict[int, str]] = field(default_factory=dict)
    old: dict[int, int] = field(default_factory=dict)
    """Index to number, for points whose predictions are to be read from the log."""


def recall(receipt: Receipt, names: dict[int, str], stream_id: int) -> None:
    """Answer for points that were there before as the first time: what was predicted then is in the log.

    Parameters
    ----------
    names
        The models, by id.

    Raises
    ------
    Unavailable
        If the log can't be read.
    """
    size = len(receipt.seqs)
    indexes: dict[int, list[int]] = {}
    for index, seq in receipt.old.items():
        indexes.setdefault(seq, []).append(index)
    try:
        for first, last in _stretches(sorted(indexes)):
            for span in log.spans(stream_id, first - 1, last):
                for offset in range(len(span.xs)):
                    for index in indexes.get(span.first + offset, ()):
                        _recall_one(receipt, index, size, names, span, offset)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.give_up(exc) from exc


def _recall_one(receipt: Receipt, index: int, size: int, names: dict[int, str], span: log.Span, offset: int) -> None:
    for model_id, name in names.items():
        predictions = span.predictions.get(model_id)
        if predictions is not None:
            receipt.predictions.setdefault(name, [None] * size)[index] = predictions[offset]
        why = span.skipped.get(model_id, {}).get(offset)
        if why is not None:
            receipt.errors.setdefault(name, {})[index] = why


def _stretches(seqs: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of runs of numbers, each read at once: no two neighbours in one are further than a batch apart."""
    first = last = seqs[0]
    for seq in seqs[1:]:
        if seq - last > log.BATCH_POINTS:
            yield first, last
            first = seq
        last = seq
    yield first, last
