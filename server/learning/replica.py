"""A model's state in memory: the fold over the log, and nothing that can't be rebuilt from it."""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

from server.learning import call_marks as marks
from server.learning import determinism, flavors
from server.learning.call_marks import CODE, SEQ, local, serials
from server.learning.predictions import number, plain, stored
from server.learning.scores import OTHER, RegressionScores, Scores
from server.streams.printable import encodable

FATAL = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What is no estimator's failure. All else is, also where it's no Exception: river's Rust code may panic."""


class Late(Exception):
    """A replica takes longer than it may.

    Attributes
    ----------
    done
        How many points it has folded.
    """

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


class Broken(Exception):
    """The estimator raised after it may have changed: the replica must be rebuilt without this point.

    Parameters
    ----------
    offset
        Which of the points given to :meth:`Replica.advance` it was.
    reason
        The estimator's own error.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


class Replica:
    """One generation of a model after observation :attr:`n`.

    Parameters
    ----------
    model_id, name, generation
        Which fold this is.
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
        Segments with metrics of their own; what comes later shares one.
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
    ) -> None:
        self.model_id = model_id
        self.name = name
        self.generation = generation
        self.flavor = flavor
        self.n = n
        self.window = window
        self.segment = segment
        self.most_segments = most_segments
        self.learned = 0
        self.skipped = 0
        self.last_skip: dict[str, Any] | None = None
        self.scores: Scores = flavor.scores(window, with_history=True)
        self.segments: dict[str, Scores] = {}
        self.snapshot_n = n
        self.snapshot_at: datetime | None = None
        self.changed_at: float | None = None
        self.size = 10_000
        self.changes_when_asked = determinism.changes_when_asked(estimator)
        self._asked = marks.code_of(model_id, marks.PREDICT)
        self.set_estimator(estimator)

    def set_estimator(self, estimator: Any) -> None:
        self.estimator = estimator
        self._predict = self.flavor.predictor(estimator)
        self._learn = self.flavor.learner(estimator)
        self._predict_points: Callable[..., Any] | None = None
        if self.flavor.name == "regression" and not self.changes_when_asked:
            method = getattr(type(estimator), "predict_points", None)  # an upload may have given the object another
            self._predict_points = None if method is None else functools.partial(method, estimator)
        self._proba: Callable[[dict[str, Any]], Any] | None = None
        if self.flavor.name == "multiclass" and flavors._has(estimator, "predict_proba_one"):
            self._proba = estimator.predict_proba_one

    # Asking

    def predict(self, x: dict[str, Any]) -> Any:
        """The prediction for one point, as plain data; the fold is where it was afterwards."""
        words = local.words
        words[CODE] = self._asked + next(serials)
        try:
            if self.changes_when_asked:
                prediction = self.flavor.predictor(copy.deepcopy(self.estimator))(x.copy())
            else:
                prediction = self._predict(x.copy())
            return prediction if type(prediction) is float else stored(prediction)
        finally:
            words[CODE] = 0

    def interval(self, x: dict[str, Any], level: float) -> tuple[float, float] | None:
        """The central prediction interval, for estimators (and points) that have one."""
        method = getattr(self.estimator, "predict_interval_one", None)
        if method is None:
            return None
        with marks.inside(self.model_id, marks.PREDICT):
            if self.changes_when_asked:
                method = copy.deepcopy(self.estimator).predict_interval_one
            found = method(x.copy(), level)
            if found is None:
                return None
            low, high = plain(found[0]), plain(found[1])
            if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
                raise ValueError("its interval is no pair of numbers")
            return low, high

    @property
    def predicts_many(self) -> bool:
        """Whether it predicts many points faster than one by one, and alike."""
        return self._predict_points is not None

    def predict_many(
        self, xs: Sequence[dict[str, Any]], level: float | None
    ) -> tuple[list[float], list[tuple[float, float]] | None]:
        """What :meth:`predict` and :meth:`interval` give for each point, where :attr:`predicts_many`.

        Raises
        ------
        ValueError
            If these are no numbers, one a point: an upload may hold anything.
        """
        assert self._predict_points is not None
        with marks.inside(self.model_id, marks.PREDICT):
            found, bands = self._predict_points(xs, level)
        sides = [] if bands is None else [side for band in bands for side in band]
        is_whole = len(found) == len(xs) and (bands is None or len(bands) == len(xs) == len(sides) / 2)
        if not is_whole or set(map(type, found)) | set(map(type, sides)) != {float}:
            raise ValueError("its predictions are no numbers, one a point")
        return found, bands

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
        """Predict, score and learn observations ``first …`` in order. Each call of the estimator gets a mapping of its own.

        Parameters
        ----------
        first
            Number of the first.
        xs, ys
            Features and targets, equally long.
        given
            Offset to a prediction that was made earlier, on which the point is scored.
        skip
            Offset to reason, for points that the fold is known to skip.
        kind
            What the supervisor is told that this is (:mod:`server.learning.call_marks`).
        until
            When it has to be through, as :func:`time.monotonic` tells it.

        Returns
        -------
        predictions, skipped
            One prediction a point (None where skipped), and offset to reason.

        Raises
        ------
        Broken
            If learning or scoring failed half-way; the replica is then to be thrown away.
        Late
            If it takes longer than it may; the replica is to be thrown away, too.
        """
        words = local.words
        words[SEQ] = first
        words[CODE] = marks.code_of(self.model_id, kind) + next(serials)
        try:
            if skip or given or not isinstance(self.scores, RegressionScores):
                predictions, scored, skipped = self._careful(first, xs, ys, given or {}, skip or {}, until)
            else:
                predictions, skipped = self._plain_run(first, xs, ys, until)
                scored = predictions
                if self.learned == 0:
                    scored = self._without_empty_first(predictions, skipped)
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

    def _plain_run(
        self, first: int, xs: Sequence[dict[str, Any]], ys: Sequence[Any], until: float
    ) -> tuple[list[Any], dict[int, str]]:
        # The loop that all bulk work spends its time in.
        is_bounded = until != math.inf
        predict, learn = self._predict, self._learn
        predictions: list[Any] = []
        keep = predictions.append
        skipped: dict[int, str] = {}
        words = local.words
        for seq, x, y in zip(range(first, first + len(xs)), xs, ys, strict=True):
            if is_bounded and monotonic() > until:
                raise Late(len(predictions))
            words[SEQ] = seq
            try:
                prediction = predict(x.copy())
            except FATAL:
                raise
            except BaseException as exc:  # whatever an estimator may raise
                skipped[len(predictions)] = reason(exc)
                keep(None)
                continue
            try:
                learn(x.copy(), y)
            except FATAL:
                raise
            except BaseException as exc:
                raise Broken(len(predictions), reason(exc)) from exc
            keep(prediction)
        return [p if type(p) is float else number(p) for p in predictions], skipped

    def _careful(
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
                raise Late(offset)
            words[SEQ] = first + offset
            if offset in skip:
                predictions.append(None)
                scored.append(None)
                skipped[offset] = skip[offset]
                continue
            try:
                prediction: Any = given[offset] if offset in given else self._predict(x.copy())
                prediction = number(prediction) if isinstance(self.scores, RegressionScores) else stored(prediction)
                judged: Any = self._as_scored(prediction, self.learned + offset - len(skipped))
                if self._proba is not None and judged is not None:
                    judged = self._with_shares(judged, self._proba, x)
            except FATAL:
                raise
            except BaseException as exc:  # whatever an estimator may raise
                skipped[offset] = reason(exc)
                predictions.append(None)
                scored.append(None)
                continue
            try:
                self._learn(x.copy(), y)
            except FATAL:
                raise
            except BaseException as exc:
                raise Broken(offset, reason(exc)) from exc
            predictions.append(prediction)
            scored.append(judged)
        return predictions, scored, skipped

    def _without_empty_first(self, predictions: list[Any], skipped: dict[int, str]) -> list[Any]:
        first = next((n for n in range(len(predictions)) if n not in skipped), None)
        if first is None or predictions[first]:
            return predictions
        return [*predictions[:first], None, *predictions[first + 1 :]]

    def _as_scored(self, prediction: Any, learned: int) -> Any:
        """What metrics see: None where a model that has learned nothing says nothing (0, an empty dict)."""
        if type(prediction) is list and self.flavor.target in ("boolean", "category"):
            prediction = _answer(prediction)
        if prediction is None or (isinstance(prediction, dict) and not prediction) or (not learned and not prediction):
            return None
        if self.flavor.name == "binary" and isinstance(prediction, dict):
            return {TRUTH.get(label, label): share for label, share in prediction.items()}
        return prediction

    def _with_shares(self, label: Any, proba: Callable[[dict[str, Any]], Any], x: dict[str, Any]) -> Any:
        try:
            return label, _answer(proba(x.copy()))
        except NotImplementedError:  # a classifier that gives labels alone: what needs probabilities isn't scored
            return label

    def _unscorable(self, ys: Sequence[Any], scored: Sequence[Any], exc: Exception) -> Exception:
        """Which point it was that the metrics can't take: a target that is no number, learned all the same."""
        for offset, (y, prediction) in enumerate(zip(ys, scored, strict=True)):
            try:
                self.flavor.scores(self.window, with_history=False).extend([y], [prediction])
            except Exception as own:
                return Broken(offset, reason(own))
        return exc

    def _score(self, xs: Sequence[dict[str, Any]], ys: Sequence[Any], scored: Sequence[Any]) -> None:
        self.scores.extend(ys, scored)
        if self.segment is None:
            return
        by_segment: dict[str, tuple[list[Any], list[Any]]] = {}
        new = 0
        for x, y, prediction in zip(xs, ys, scored, strict=True):
            if prediction is None:
                continue
            name = str(x.get(self.segment, ""))
            if name not in self.segments and name not in by_segment:
                if len(self.segments) + new >= self.most_segments:
                    name = OTHER
                new += name not in self.segments and name not in by_segment
            targets, predictions = by_segment.setdefault(name, ([], []))
            targets.append(y)
            predictions.append(prediction)
        for name, (targets, predictions) in by_segment.items():
            if name not in self.segments:
                self.segments[name] = self.flavor.scores(self.window, with_history=False)
            self.segments[name].extend(targets, predictions)

    def _note_skips(self, first: int, skipped: dict[int, str]) -> None:
        if skipped:
            offset = max(skipped)
            self.skipped += len(skipped)
            self.last_skip = {"seq": first + offset, "reason": skipped[offset]}

    # Storing

    def state(self) -> dict[str, Any]:
        """Everything that a fold needs to go on, for a snapshot."""
        history = getattr(self.scores, "history", None)
        return {
            "estimator": self.estimator,
            "learned": self.learned,
            "skipped": self.skipped,
            "last_skip": self.last_skip,
            "scores": self.scores.state(),
            "history": history.state() if history is not None else None,
            "segments": {name: scores.state() for name, scores in self.segments.items()},
        }

    def restore(self, n: int, state: dict[str, Any]) -> None:
        """Take up a stored state after observation ``n``."""
        self.set_estimator(state["estimator"])
        self.scores = self.flavor.scores(self.window, with_history=True)
        self.segments = {}
        self.n = self.snapshot_n = n
        self.learned, self.skipped, self.last_skip = state["learned"], state["skipped"], state["last_skip"]
        self.scores.restore(state["scores"])
        if state["history"] is not None:
            self.scores.history.restore(state["history"])  # type: ignore[attr-defined]
        for name, scores in state["segments"].items():
            self.segments[name] = self.flavor.scores(self.window, with_history=False)
            self.segments[name].restore(scores)


def _answer(prediction: Any) -> Any:
    """A classifier's answer: those of :mod:`river.active` say beside it whether they ask for the label."""
    if isinstance(prediction, (list, tuple)) and len(prediction) == 2 and isinstance(prediction[1], bool):
        return prediction[0]
    return prediction


TRUTH = {"true": True, "false": False, "True": True, "False": False}


def reason(exc: BaseException) -> str:
    """An estimator's error in one line."""
    try:
        text = " ".join(encodable(str(exc), 5_000).replace("\x00", "\\x00").split())
    except Exception as own:  # an error's text may be an estimator's own doing
        text = f"({type(own).__name__} as its text was asked for)"
    return encodable(f"{type(exc).__name__}: {text}", 500)
