"""Receipts: the numbers and predictions that a learn request gets, the same again if it is repeated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError

from server.core.db import locks
from server.streams import log
from server.streams.feature_warnings import Fault
from server.streams.points import BATCH_POINTS


@dataclass
class Receipt:
    """The result of a submission.

    Attributes
    ----------
    seqs
        The number of each point, in the order given.
    duplicates
        How many were stored already.
    predictions
        Model name to its prediction for each point, made before learning it.
    errors
        Model name to ``{index: reason}``, for the points that it skipped.
    faults
        How the points differ from earlier observations of the stream.
    """

    seqs: Sequence[int] = ()
    duplicates: int = 0
    predictions: dict[str, list[Any]] = field(default_factory=dict)
    errors: dict[str, dict[int, str]] = field(default_factory=dict)
    old: dict[int, int] = field(default_factory=dict)
    """Index to observation number, for points whose predictions are read from the log."""
    faults: Sequence[Fault] = ()


def recall(receipt: Receipt, names: dict[int, str], stream_id: int) -> None:
    """Add the predictions of points that were stored already to the receipt, as the log has them.

    Parameters
    ----------
    names
        Model names by id.

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
        for first, last in _runs(sorted(indexes)):
            for span in log.spans(stream_id, first - 1, last):
                for offset in range(len(span.xs)):
                    for index in indexes.get(span.first + offset, ()):
                        _recall_one(receipt, index, size, names, span, offset)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.to_unavailable(exc) from exc


def _recall_one(receipt: Receipt, index: int, size: int, names: dict[int, str], span: log.Span, offset: int) -> None:
    for model_id, name in names.items():
        predictions = span.predictions.get(model_id)
        if predictions is not None:
            receipt.predictions.setdefault(name, [None] * size)[index] = predictions[offset]
        why = span.skipped.get(model_id, {}).get(offset)
        if why is not None:
            receipt.errors.setdefault(name, {})[index] = why


def _runs(seqs: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of runs of numbers that are read at once: neighbours in a run are at most a batch apart."""
    first = last = seqs[0]
    for seq in seqs[1:]:
        if seq - last > BATCH_POINTS:
            yield first, last
            first = seq
        last = seq
    yield first, last
