"""A replica: a model's state in memory, which can be rebuilt from the log."""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

from server.learning.budgets import call_marks as marks
from server.learning.budgets import long_calls
from server.learning.budgets.call_marks import CODE, SEQ, local, serials
from server.learning.fold import flavors, scoring
from server.learning.fold.estimator_errors import FATAL, BrokenReplica, DeadlineExceeded, reason
from server.learning.fold.plain_values import number, plain, stored
from server.learning.metrics.prequential import Metrics, RegressionMetrics
from server.learning.river_adapters import determinism
from server.learning.river_adapters.predicting import has_method


class Replica:
    """One generation of a model after observation :attr:`n`.

    Parameters
    ----------
    model_id, name, generation
        The model and the generation of its fold.
    flavor
        The kind of task.
    estimator
        The river estimator, in its initial state.
    n
        Number of the observation after which the fold starts.
    window
        Observations in the rolling metrics.
    segment
        The stream's segment feature, or None.
    most_segments
        Most segments with metrics of their own. Later segments share one.
    owner_id
        The model's owner, or None.
    """

    def __init__(
        self,
        model_id: int,
        name: str,
        generation: int,
        flavor: flavors.Flavor,
        estimator: Any,
        *,
        n: int,
        window: int,
        segment: str | None = None,
        most_segments: int = 1000,
        owner_id: int | None = None,
    ) -> None:
        self.model_id = model_id
        self.name = name
        self.generation = generation
        self.flavor = flavor
        self.n = n
        self.window = window
        self.segment = segment
        self.owner_id = owner_id
        self.most_segments = most_segments
        self.learned = 0
        self.skipped = 0
        self.last_skip: dict[str, Any] | None = None
        self.metrics: Metrics = flavor.new_metrics(window, with_history=True)
        self.segments: dict[str, Metrics] = {}
        self.snapshot_n = n
        self.snapshot_at: datetime | None = None
        self.changed_at: float | None = None
        self.size = 10_000
        self.learning = long_calls.length_of(model_id, "learn")
        self.predicting = long_calls.length_of(model_id, "predict")
        """How long these calls take (:mod:`server.learning.budgets.long_calls`)."""
        self.before_learning: Callable[[int, dict[str, Any]], None] | None = None
        """Called with each observation's number and features before the estimator learns it. For records, not for requests."""
        self.predicting_changes_state = determinism.predicting_changes_state(estimator)
        self._predict_code = marks.code_of(model_id, marks.PREDICT)
        self.set_estimator(estimator)

    def set_estimator(self, estimator: Any) -> None:
        self.estimator = estimator
        self._predict = self.flavor.predictor(estimator)
        self._learn = self.flavor.learner(estimator)
        self._predict_points: Callable[..., Any] | None = None
        if self.flavor.name == "regression" and not self.predicting_changes_state:
            method = getattr(type(estimator), "predict_points", None)  # not the object's own: an upload may set it
            self._predict_points = None if method is None else functools.partial(method, estimator)
        self._proba: Callable[[dict[str, Any]], Any] | None = None
        if self.flavor.name == "multiclass" and has_method(estimator, "predict_proba_one"):
            self._proba = estimator.predict_proba_one

    # Predicting

    def predict(self, x: dict[str, Any]) -> Any:
        """Return the prediction for one point, as plain data. The state of the fold doesn't change."""
        if self.predicting.is_short and len(x) <= self.predicting.features:
            return self._predicted(x)
        with self.predicting.turn(self.owner_id, len(x)):
            return self._predicted(x)

    def _predicted(self, x: dict[str, Any]) -> Any:
        words = local.words
        words[CODE] = self._predict_code + next(serials)
        try:
            if self.predicting_changes_state:
                prediction = self.flavor.predictor(copy.deepcopy(self.estimator))(x.copy())
            else:
                prediction = self._predict(x.copy())
            return prediction if type(prediction) is float else stored(prediction)
        finally:
            words[CODE] = 0

    def interval(self, x: dict[str, Any], level: float) -> tuple[float, float] | None:
        """Return the central prediction interval; None if the estimator gives none for the point."""
        method = getattr(self.estimator, "predict_interval_one", None)
        if method is None:
            return None
        if self.predicting.is_short:
            return self._interval(method, x, level)
        with self.predicting.turn(self.owner_id, len(x)):
            return self._interval(method, x, level)

    def _interval(self, method: Callable[..., Any], x: dict[str, Any], level: float) -> tuple[float, float] | None:
        with marks.mark_call(self.model_id, marks.PREDICT):
            if self.predicting_changes_state:
                method = copy.deepcopy(self.estimator).predict_interval_one
            found = method(x.copy(), level)
            if found is None:
                return None
            low, high = plain(found[0]), plain(found[1])
            if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
                raise ValueError("its interval is not a pair of numbers")
            return low, high

    @property
    def gives_bands(self) -> bool:
        """Whether the estimator gives prediction intervals for a number."""
        return self.flavor.name == "regression" and callable(getattr(self.estimator, "predict_interval_one", None))

    def bands(self, x: dict[str, Any], level: float, quantiles: Sequence[float]) -> list[float] | None:
        """Return the ends of the central interval, and upper bounds; None if the estimator fails or gives none for the point.

        Parameters
        ----------
        x
            Features.
        level
            Probability of the interval.
        quantiles
            Probabilities of the upper bounds. Without a method for them, an estimator's intervals give those above 0.5.
        """
        with marks.mark_call(self.model_id, marks.PREDICT):
            try:
                estimator = copy.deepcopy(self.estimator) if self.predicting_changes_state else self.estimator
                many = getattr(type(estimator), "predict_quantiles_one", None)
                if many is not None:
                    low, high = (1 - level) / 2, (1 + level) / 2
                    return [float(bound) for bound in many(estimator, x.copy(), (low, high, *quantiles))]
                found = estimator.predict_interval_one(x.copy(), level)
                if found is None:
                    return None
                upper = [
                    estimator.predict_interval_one(x.copy(), 2 * q - 1)[1] if q > 0.5 else math.nan for q in quantiles
                ]
                return [float(bound) for bound in (*found, *upper)]
            except FATAL:
                raise
            except BaseException:  # an estimator may raise any error
                return None

    @property
    def predicts_many(self) -> bool:
        """Whether the estimator has a faster method for many points, which returns the same results."""
        return self._predict_points is not None

    def predict_many(
        self, xs: Sequence[dict[str, Any]], level: float | None
    ) -> tuple[list[float], list[tuple[float, float]] | None]:
        """Return the results of :meth:`predict` and :meth:`interval` for each point. Requires :attr:`predicts_many`.

        Raises
        ------
        ValueError
            If the estimator doesn't return one number for each point. An uploaded one may return anything.
        """
        assert self._predict_points is not None
        features = max(map(len, xs))
        if self.predicting.is_short and features <= self.predicting.features:
            found, bands = self._points(xs, level)
        else:
            with self.predicting.turn(self.owner_id, features):
                found, bands = self._points(xs, level)
        sides = [] if bands is None else [side for band in bands for side in band]
        is_whole = len(found) == len(xs) and (bands is None or len(bands) == len(xs) == len(sides) / 2)
        if not is_whole or set(map(type, found)) | set(map(type, sides)) != {float}:
            raise ValueError("its predictions are not one number for each point")
        return found, bands

    def _points(self, xs: Sequence[dict[str, Any]], level: float | None) -> tuple[Any, Any]:
        assert self._predict_points is not None
        with marks.mark_call(self.model_id, marks.PREDICT):
            found: tuple[Any, Any] = self._predict_points(xs, level)
            return found

    # Learning

    def advance(
        self,
        first: int,
        xs: Sequence[dict[str, Any]],
        ys: Sequence[Any],
        given: dict[int, Any] | None = None,
        skip: dict[int, str] | None = None,
        kind: int = marks.LEARN,
        until: float = math.inf,
    ) -> tuple[list[Any], dict[int, str]]:
        """Predict, score and learn observations ``first …`` in order. Each call of the estimator gets its own copy of the features.

        Parameters
        ----------
        first
            Number of the first.
        xs, ys
            Features and targets, of the same length.
        given
            Offset to a prediction that was made earlier. The point is scored with it.
        skip
            Offset to reason, for points to skip.
        kind
            The kind of call for the supervisor (:mod:`server.learning.budgets.call_marks`).
        until
            Deadline, by :func:`time.monotonic`.

        Returns
        -------
        predictions, skipped
            One prediction for each point (None if skipped), and offset to reason.

        Raises
        ------
        BrokenReplica
            If learning or scoring failed after the state may have changed. The replica must be dropped.
        DeadlineExceeded
            If the deadline has passed. The replica must be dropped.
        """
        given, skip = given or {}, skip or {}
        if self.learning.is_short and max(map(len, xs), default=0) <= self.learning.features:
            return self._advance(first, xs, ys, given, skip, kind, until)
        return self._advance_in_turns(first, xs, ys, given, skip, kind, until)

    def _advance_in_turns(
        self,
        first: int,
        xs: Sequence[dict[str, Any]],
        ys: Sequence[Any],
        given: dict[int, Any],
        skip: dict[int, str],
        kind: int,
        until: float,
    ) -> tuple[list[Any], dict[int, str]]:
        """Do the same as :meth:`advance`, but wait for a turn for each point until the calls are known to be short."""
        predictions: list[Any] = []
        skipped: dict[int, str] = {}
        low, features = 0, max(map(len, xs), default=0)
        while low < len(xs):
            is_short = self.learning.is_short and features <= self.learning.features
            high = len(xs) if is_short else low + 1
            part = xs[low:high], ys[low:high], shifted(given, low, high), shifted(skip, low, high), kind, until
            try:
                if is_short:
                    found, found_skipped = self._advance(first + low, *part)
                else:
                    with self.learning.turn(self.owner_id, len(xs[low])):
                        found, found_skipped = self._advance(first + low, *part)
            except BrokenReplica as exc:
                raise BrokenReplica(low + exc.offset, exc.reason) from exc.__cause__
            except DeadlineExceeded as exc:
                raise DeadlineExceeded(low + exc.done) from None
            predictions += found
            skipped.update({low + offset: why for offset, why in found_skipped.items()})
            low = high
        return predictions, skipped

    def _advance(
        self,
        first: int,
        xs: Sequence[dict[str, Any]],
        ys: Sequence[Any],
        given: dict[int, Any],
        skip: dict[int, str],
        kind: int,
        until: float,
    ) -> tuple[list[Any], dict[int, str]]:
        words = local.words
        words[SEQ] = first
        words[CODE] = marks.code_of(self.model_id, kind) + next(serials)
        try:
            if skip or given or self.before_learning or not isinstance(self.metrics, RegressionMetrics):
                predictions, scored, skipped = self._run_any(first, xs, ys, given, skip, until)
            else:
                predictions, skipped = self._run_regression(first, xs, ys, until)
                scored = predictions
                if self.learned == 0:
                    scored = scoring.without_empty_first(predictions, skipped)
            try:
                self._score(xs, ys, scored)
            except Exception as exc:
                raise self._unscorable(ys, scored, exc) from exc
        finally:
            words[CODE] = 0
        self.learned += len(xs) - len(skipped)
        self._note_skips(first, skipped)
        self.n = first + len(xs) - 1
        return predictions, skipped

    def _run_regression(
        self, first: int, xs: Sequence[dict[str, Any]], ys: Sequence[Any], until: float
    ) -> tuple[list[Any], dict[int, str]]:
        # Hot loop: learning many observations spends most of its time here.
        is_bounded = until != math.inf
        predict, learn = self._predict, self._learn
        predictions: list[Any] = []
        keep = predictions.append
        skipped: dict[int, str] = {}
        words = local.words
        for seq, x, y in zip(range(first, first + len(xs)), xs, ys, strict=True):
            if is_bounded and monotonic() > until:
                raise DeadlineExceeded(len(predictions))
            words[SEQ] = seq
            try:
                prediction = predict(x.copy())
            except FATAL:
                raise
            except BaseException as exc:  # an estimator may raise any error
                skipped[len(predictions)] = reason(exc)
                keep(None)
                continue
            try:
                learn(x.copy(), y)
            except FATAL:
                raise
            except BaseException as exc:
                raise BrokenReplica(len(predictions), reason(exc)) from exc
            keep(prediction)
        return [p if type(p) is float else number(p) for p in predictions], skipped

    def _run_any(
        self,
        first: int,
        xs: Sequence[dict[str, Any]],
        ys: Sequence[Any],
        given: dict[int, Any],
        skip: dict[int, str],
        until: float,
    ) -> tuple[list[Any], list[Any], dict[int, str]]:
        predictions: list[Any] = []
        scored: list[Any] = []
        skipped: dict[int, str] = {}
        words = local.words
        for offset, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if until != math.inf and monotonic() > until:
                raise DeadlineExceeded(offset)
            words[SEQ] = first + offset
            if offset in skip:
                predictions.append(None)
                scored.append(None)
                skipped[offset] = skip[offset]
                continue
            try:
                prediction: Any = given[offset] if offset in given else self._predict(x.copy())
                prediction = number(prediction) if isinstance(self.metrics, RegressionMetrics) else stored(prediction)
                judged: Any = scoring.scorable(prediction, self.flavor, self.learned + offset - len(skipped))
                if self._proba is not None and judged is not None:
                    judged = scoring.with_probabilities(judged, self._proba, x)
            except FATAL:
                raise
            except BaseException as exc:  # an estimator may raise any error
                skipped[offset] = reason(exc)
                predictions.append(None)
                scored.append(None)
                continue
            if self.before_learning is not None:
                self.before_learning(first + offset, x)
                words[SEQ] = first + offset
            try:
                self._learn(x.copy(), y)
            except FATAL:
                raise
            except BaseException as exc:
                raise BrokenReplica(offset, reason(exc)) from exc
            predictions.append(prediction)
            scored.append(judged)
        return predictions, scored, skipped

    def _unscorable(self, ys: Sequence[Any], scored: Sequence[Any], exc: Exception) -> Exception:
        """Return the error to raise. It names the point for which the metrics fail, such as one with a wrong target."""
        for offset, (y, prediction) in enumerate(zip(ys, scored, strict=True)):
            try:
                self._metrics_alone().extend([y], [prediction])
            except Exception as own:
                return BrokenReplica(offset, reason(own))
        return exc

    def _score(self, xs: Sequence[dict[str, Any]], ys: Sequence[Any], scored: Sequence[Any]) -> None:
        self.metrics.extend(ys, scored)
        if self.segment is not None:
            scoring.extend_segments(
                self.segments, self.segment, xs, ys, scored, most=self.most_segments, new_metrics=self._metrics_alone
            )

    def _metrics_alone(self) -> Metrics:
        """Return new metrics without a curve."""
        return self.flavor.new_metrics(self.window, with_history=False)

    def _note_skips(self, first: int, skipped: dict[int, str]) -> None:
        if skipped:
            offset = max(skipped)
            self.skipped += len(skipped)
            self.last_skip = {"seq": first + offset, "reason": skipped[offset]}

    # Storing

    def state(self) -> dict[str, Any]:
        """Return the complete state of the fold, for a snapshot."""
        history = getattr(self.metrics, "history", None)
        return {
            "estimator": self.estimator,
            "learned": self.learned,
            "skipped": self.skipped,
            "last_skip": self.last_skip,
            "scores": self.metrics.state(),
            "history": history.state() if history is not None else None,
            "segments": {name: scores.state() for name, scores in self.segments.items()},
        }

    def restore(self, n: int, state: dict[str, Any]) -> None:
        """Restore a stored state after observation ``n``."""
        self.set_estimator(state["estimator"])
        self.metrics = self.flavor.new_metrics(self.window, with_history=True)
        self.segments = {}
        self.n = self.snapshot_n = n
        self.learned, self.skipped, self.last_skip = state["learned"], state["skipped"], state["last_skip"]
        self.metrics.restore(state["scores"])
        if state["history"] is not None:
            self.metrics.history.restore(state["history"])  # type: ignore[attr-defined]
        for name, scores in state["segments"].items():
            self.segments[name] = self._metrics_alone()
            self.segments[name].restore(scores)


def shifted(by_offset: dict[int, Any], low: int, high: int) -> dict[int, Any]:
    """Return the entries of offsets from ``low`` up to ``high``, by their offset from ``low``."""
    if not by_offset:
        return by_offset
    return {offset - low: value for offset, value in by_offset.items() if low <= offset < high}
