"""Makes the columns of one model's record, from the log or by a fold of its own.

What a live model predicted is in the log. Intervals and the predictions of a backfill or rebuild are not: for those, the
recorder folds the log a second time, with a replica of its own. It is never part of a request.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from server.core.json_codec import dumps_text
from server.learning.budgets import long_calls
from server.learning.fold import replay, snapshots
from server.learning.fold.replica import Replica
from server.learning.fold.scoring import BOOLEAN_LABELS, without_active_learning_flag
from server.learning.models import Model
from server.learning.records.columns import BANDS, LEVEL, NOT_SCORED, QUANTILES, SCORED, SKIPPED, Columns, rounded
from server.streams import log
from server.streams.log import Span

TIME_UNITS = frozenset(("s", "sec", "second", "seconds", "ms", "min", "h"))
CLASSES = ("binary", "multiclass")
FIRST_CHUNK = 16


class Recorder:
    """Continues the record of one generation of a model after observation :attr:`upto`.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    upto
        The last observation that is recorded.
    has_learned
        Whether the model has learned any observation up to there.
    progress
        Called while the log is folded up to ``upto``, which may take long.
    """

    def __init__(
        self, model: Model, upto: int, has_learned: bool = False, progress: Callable[[int], None] | None = None
    ) -> None:
        self.model = model
        self._progress = progress
        self.upto = upto
        self._segment: str | None = model.stream.segment
        self._exclusions = replay.exclusions_of(model)
        self._replica: Replica | None = None
        self._bands: dict[int, Sequence[float] | None] = {}
        self._has_learned = has_learned
        initial = replay.initial_replica(model, self._segment)
        self._gives_bands = initial.gives_bands
        is_time = model.stream.target_unit in TIME_UNITS or hasattr(initial.estimator, "predict_quantiles_one")
        self._quantiles = tuple(QUANTILES.values()) if is_time else ()

    def continues(self, model: Model, upto: int) -> bool:
        """Whether this recorder is at ``upto`` and the model's fold is still the same."""
        mine = self.model
        return (mine.generation, mine.live_since, self.upto) == (model.generation, model.live_since, upto)

    def refresh(self, model: Model) -> None:
        """Take over what has changed of the model: quarantines that ended since."""
        self.model = model
        self._exclusions = replay.exclusions_of(model)

    @property
    def folds(self) -> bool:
        """Whether it keeps a replica of its own in memory."""
        return self._replica is not None

    @property
    def size(self) -> int:
        """Bytes of its replica as it is stored; 0 if it has none."""
        return 0 if self._replica is None else self._replica.size

    def columns(self, head: int) -> Iterator[Columns]:
        """Yield the columns of the observations after :attr:`upto` up to ``head``, some at a time.

        Raises
        ------
        Gone
            If the log no longer has one of them.
        """
        step = FIRST_CHUNK
        for spans in grouped(replay.complete_spans(self.model.stream_id, self.upto, head)):
            whole, at = replay.join_spans(spans), times_of(spans)
            low = 0
            while low < len(whole.xs):
                high = min(len(whole.xs), low + step)
                began = time.monotonic()
                part = log.cut(whole, whole.first + low - 1, whole.first + high - 1)
                yield self._recorded(part, at[low:high])
                step = min(replay.CHUNK, step * 2) if time.monotonic() - began < 0.02 else max(FIRST_CHUNK, step // 2)
                low = high

    def _recorded(self, span: Span, at: np.ndarray) -> Columns:
        given, skip = replay.logged_outcomes(span, self.model, self._exclusions)
        if self._gives_bands or span.first <= self.model.live_since:
            replica = self._replica_before(span.first)
            predictions, skipped = replay.advance(replica, span.first, span.xs, span.ys, given, skip)
        else:
            self._replica = None
            logged = span.predictions.get(self.model.pk) or []
            predictions = [*logged, *[None] * (len(span.xs) - len(logged))]
            skipped = skip
        columns = self.columns_of(span, at, predictions, skipped)
        self.upto = columns.last
        return columns

    def _replica_before(self, first: int) -> Replica:
        if self._replica is None or self._replica.n != first - 1:
            self._replica = snapshots.load(self.model, self._segment, first - 1)
            replay.fold_log(self._replica, self.model, self._exclusions, first - 1, progress=self._progress)
            self.watch(self._replica)
        return self._replica

    def watch(self, replica: Replica) -> None:
        """Note the bands that this replica gives while it is advanced, for :meth:`columns_of`."""
        self._replica = replica
        if self._gives_bands:
            replica.learning = long_calls.length_of(replica.model_id, "record")  # it takes longer with the bands
            replica.before_learning = self._note_bands

    def _note_bands(self, seq: int, x: dict[str, Any]) -> None:
        assert self._replica is not None
        self._bands[seq] = self._replica.bands(x, LEVEL, self._quantiles)

    def columns_of(self, span: Span, at: np.ndarray, predictions: list[Any], skipped: dict[int, str]) -> Columns:
        """Return the columns of a part of the log, from the times, predictions and skipped offsets of its observations."""
        size = len(span.xs)
        state = np.full(size, SCORED, np.uint8)
        labels: dict[str, int] = {}
        read = _code_of(labels) if self.model.flavor in CLASSES else _number
        found, targets = np.full(size, np.nan), np.full(size, np.nan)
        for offset, (prediction, y) in enumerate(zip(predictions, span.ys, strict=True)):
            targets[offset] = read(y)
            if offset in skipped:
                state[offset] = SKIPPED
                continue
            found[offset] = read(prediction)
            # As in the metrics, a prediction of 0 by a model that has learned nothing doesn't count.
            if math.isnan(found[offset]) or not (self._has_learned or prediction):
                state[offset] = NOT_SCORED
            self._has_learned = True
        values = {"at": at, "state": state, "y": targets, "prediction": found}
        segments: dict[str, int] = {}
        if self._segment is not None:
            names = (str((x or {}).get(self._segment, "")) for x in span.xs)
            values["segment"] = np.array([segments.setdefault(name, len(segments)) for name in names], np.uint16)
        else:
            values["segment"] = np.zeros(size, np.uint16)
        if self._bands:
            rows = np.full((size, len(BANDS)), np.nan)
            for offset in range(size):
                bands = self._bands.get(span.first + offset)
                if bands is not None and state[offset] == SCORED:
                    rows[offset, : len(bands)] = bands
            for index, name in enumerate(BANDS):
                if not np.isnan(rows[:, index]).all():
                    values[name] = rounded(rows[:, index])
            self._bands.clear()
        return Columns(span.first, values, list(segments), list(labels))


def grouped(spans: Iterator[Span]) -> Iterator[list[Span]]:
    """Yield consecutive spans, about :data:`server.learning.fold.replay.CHUNK` observations at a time."""
    waiting: list[Span] = []
    points = size = 0
    for span in spans:
        waiting.append(span)
        points += len(span.xs)
        size += span.size
        if points >= replay.CHUNK or size >= replay.CHUNK_BYTES:
            yield waiting
            waiting, points, size = [], 0, 0
    if waiting:
        yield waiting


def times_of(spans: list[Span]) -> np.ndarray:
    """Return when the observations of spans were received, in seconds since 1970."""
    return np.repeat([span.at.timestamp() for span in spans], [len(span.xs) for span in spans])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _code_of(labels: dict[str, int]) -> Callable[[Any], float]:
    """Return the function that gives each label an index in ``labels``, which grows."""

    def code(value: Any) -> float:
        value = without_active_learning_flag(value)
        if isinstance(value, dict):
            value = max(value, key=value.__getitem__) if value else None
        if value is None:
            return math.nan
        value = BOOLEAN_LABELS.get(value, value) if isinstance(value, str) else value
        text = value if isinstance(value, str) else dumps_text(value)
        return float(labels.setdefault(text, len(labels)))

    return code
