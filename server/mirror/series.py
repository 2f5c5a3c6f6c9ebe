"""The prequential metrics of one fold of a model as lines, which senders of runs send.

A replica of the mirror's own folds the log, from the newest snapshot on. So its metrics and its state are those of the server, bit
for bit, for every kind of model, and the server's processes have no work with it.
"""

from collections.abc import Iterator

from tailrace.tracking.lines import json_line, metric_value

from server.learning.fold import replay, snapshots
from server.learning.models import Model
from server.learning.records import recorder
from server.mirror.fingerprints import Fingerprint
from server.mirror.noted_metrics import Notes
from server.streams import log


class Series:
    """Continues the metrics of a model after an observation.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    after
        The last observation whose metrics are known to be sent.
    every
        Observations from one point of a metric to the next.
    fingerprint
        Of the log, up to some observation. It is continued.

    Raises
    ------
    Gone
        If the log no longer has what is needed.
    """

    def __init__(self, model: Model, after: int, every: int, fingerprint: Fingerprint) -> None:
        self.model = model
        self.fingerprint = fingerprint
        self._exclusions = replay.exclusions_of(model)
        self.replica = snapshots.load(model, model.stream.segment, after)
        self._notes = Notes(self.replica, every)
        self._sizer = replay.ChunkSizer(0.25)
        if self.replica.n > fingerprint.at and not model.stream.whole_after:
            fingerprint.read(model.stream, self.replica.n)
        for _ in self.lines(after):
            pass

    def refresh(self, model: Model) -> None:
        """Take over what has changed of the model: quarantines that ended since."""
        self.model = model
        self._exclusions = replay.exclusions_of(model)

    def lines(self, upto: int) -> Iterator[tuple[int, list[bytes]]]:
        """Fold the log up to an observation. Yield, a part at a time, the observation reached and the lines of the part.

        Raises
        ------
        Gone
            If the log no longer has one of the observations.
        """
        spans = replay.complete_spans(self.model.stream_id, self.replica.n, upto)
        for some in recorder.grouped(spans):
            whole, times = replay.join_spans(some), recorder.times_of(some)
            for low, high in self._sizer.chunks(len(whole.xs)):
                part = log.cut(whole, whole.first + low - 1, whole.first + high - 1)
                given, skip = replay.logged_outcomes(part, self.model, self._exclusions)
                replay.advance(self.replica, part.first, part.xs, part.ys, given, skip)
                self.fingerprint.add(part.first, part.xs, part.ys)
                noted = self._notes.take()
                yield (
                    self.replica.n,
                    [_line(number, values, times[number - whole.first]) for number, values in sorted(noted.items())],
                )


def _line(number: int, values: dict[str, float], at: float) -> bytes:
    return json_line(
        {
            "kind": "metrics",
            "step": number,
            "time_ms": int(at * 1000),
            "values": {name: metric_value(value) for name, value in values.items()},
        }
    ).rstrip()


def described(model: Model) -> list[bytes]:
    """Return lines with what a model is."""
    params = {
        "flavor": model.flavor,
        "recipe": model.recipe or "(an estimator of its own)",
        "window": str(model.window),
        **{f"recipe.{name}"[:250]: str(value)[:500] for name, value in sorted(model.parameters.items())},
    }
    return [json_line({"kind": "params", "values": params}).rstrip()]
