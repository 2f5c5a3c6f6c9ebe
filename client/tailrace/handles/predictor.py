"""`Predictor`: predictions for one point (keywords or a mapping) or many (a list or a DataFrame)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from tailrace.errors import PredictionWarning, TailraceError, Unusable
from tailrace.observations.json_values import is_series, json_point
from tailrace.observations.text_values import texts_of
from tailrace.results.data_frames import batches_of, is_frame, point_at
from tailrace.results.predictions import PointWarning, Prediction, Predictions

if TYPE_CHECKING:
    from inspect import Signature

    from pandas import DataFrame, Series

    from tailrace.handles.model_requests import ModelRequests
    from tailrace.results.prediction_columns import PredictionColumns

    _Batch = tuple[list[dict[str, Any]], Sequence[Any]]
    """The points of one request, and the texts that they were read from."""

__all__ = ["Predictor"]

AT_ONCE = 1000
"""Most points in one request. More points are sent in several requests."""

LEVEL = 0.95

_SHORT_MESSAGES = {
    "unknown_feature": "{} is unknown",
    "missing_feature": "{} is missing",
    "other_kind": "{} is of another kind",
    "outside": "{} is outside of what was seen",
}


class Predictor:
    """``model.predict``: requests predictions. The model learns nothing from them.

    Its signature names the stream's features, so that a shell can complete them.
    """

    def __init__(self, model: ModelRequests) -> None:
        self._model = model

    @overload
    def __call__(
        self,
        points: Iterable[Mapping[str, Any]] | DataFrame,
        /,
        *,
        level: float = ...,
        strict: bool = ...,
    ) -> Predictions: ...
    @overload
    def __call__(
        self,
        points: Mapping[str, Any] | Series | None = None,
        /,
        *,
        level: float = ...,
        identifier: str | None = ...,
        track: bool = ...,
        strict: bool = ...,
        **features: Any,
    ) -> Prediction: ...
    def __call__(
        self,
        points: Any = None,
        /,
        *,
        level: float = LEVEL,
        identifier: str | None = None,
        track: bool = False,
        strict: bool = False,
        **features: Any,
    ) -> Prediction | Predictions:
        """Predict one point, or many at once.

        Parameters
        ----------
        points
            One point: a mapping of features by name, or a pandas Series. Many points: an iterable of those, or a
            DataFrame with one column for each feature (a missing value leaves the feature out). Features named
            ``level``, ``identifier``, ``track`` or ``strict`` can be given only here.
        level
            Probability of the central interval, between 0 and 1. Predictions have an interval only if the model's
            estimator computes intervals.
        identifier, track
            Store the prediction (of one point only) under this identifier, or with `track` under one that the server
            chooses. `Client.label` labels it later.
        strict
            Refuse points that differ from all observations of the stream, instead of issuing a `PredictionWarning`. If
            the stream declares its features, the server always refuses points that do not match the declaration.
        features
            Features of one point: ``predict(x=8, y=16, z=8)``.

        Returns
        -------
        A `Prediction` for one point, `Predictions` for many. If points differ from all observations of the stream,
        their `warnings` say how. A call also issues one `PredictionWarning` (see :mod:`warnings`), so that callers who
        use only the value notice.

        Raises
        ------
        Unusable
            If the points are invalid.
        Refused
            If a feature is unknown or of the wrong kind (according to the stream's declaration or, if `strict`, to its
            observations), the model is still learning the stream's history, or the token may not predict. The error is
            `NotFound` if there is no such model. The message says which.
        Unreachable
            If the server does not answer in time.
        """
        if self._model.at is not None:
            raise Unusable(
                f"this is model {self._model.name} as of observation {self._model.at}, and a server predicts only with "
                f"the current state: use the estimator that download() returns, or model {self._model.name} itself"
            )
        if isinstance(level, bool) or not hasattr(level, "__float__") or not math.isfinite(level):
            raise Unusable(f"level is {level!r}: expected a number between 0 and 1, such as 0.95")
        level = float(level)
        if points is None or isinstance(points, Mapping) or is_series(points):
            if points is not None and features:
                raise TypeError("give the features either as a mapping or as keywords, not both")
            one = self._one(points if points is not None else features, level, identifier, track, strict)
            self._warn(one.warnings)
            return one
        if features or identifier is not None or track:
            given = next(iter(features), "identifier" if identifier is not None else "track")
            raise TypeError(
                f"{given} is for one point: many points contain their features, and are not stored for labels"
            )
        if isinstance(points, (str, bytes)) or not isinstance(points, Iterable):
            raise Unusable(f"{points!r} is not a point: expected features by name, a list of such, or a DataFrame")
        if is_frame(points):
            frame: Any = points
            batches: Iterable[_Batch] = ((batch, ()) for batch in batches_of(frame, AT_ONCE))
            many = self._many(batches, len(frame), lambda number: point_at(frame, number), level, strict)
            found = Predictions(many, frame.index, frame)
        else:
            plain = [(json_point(x, f"points[{number}]"), texts_of(x).get("x")) for number, x in enumerate(points)]
            some = (plain[start : start + AT_ONCE] for start in range(0, len(plain), AT_ONCE))
            batches = (([x for x, _ in part], [texts for _, texts in part]) for part in some)
            found = Predictions(self._many(batches, len(plain), lambda number: plain[number][0], level, strict))
        self._warn(found.warnings)
        return found

    def _warn(self, found: Sequence[PointWarning]) -> None:
        """Issue one warning for a call. It holds no values, so that Python shows it only once for a loop."""
        if found:
            short = (_SHORT_MESSAGES.get(one.code, one.message).format(one.feature) for one in found)
            message = (
                f"model {self._model.name} predicted points that differ from its stream's observations: "
                f"{', '.join(dict.fromkeys(short))} (see .warnings)"
            )
            self._model._session.server.warn(message, PredictionWarning)

    def _one(self, features: Any, level: float, identifier: str | None, track: bool, strict: bool) -> Prediction:
        x = json_point(features)
        body: dict[str, Any] = {"x": x, "level": level, **_if_strict(strict)}
        if texts := texts_of(features):
            body["written"] = texts
        if identifier is not None:
            body["identifier"] = identifier
        elif track:
            body["track"] = True
        answer = self._model._send("POST", "predict/", body)
        warnings = tuple(map(_warning, answer.get("warnings", ())))
        return self._made(x, answer["prediction"], answer.get("interval"), answer, level, warnings)

    def _many(
        self,
        batches: Iterable[_Batch],
        total: int,
        features: Callable[[int], Mapping[str, Any]],
        level: float,
        strict: bool,
    ) -> PredictionColumns:
        from tailrace.display.progress_bar import ProgressBar
        from tailrace.results.prediction_columns import PredictionColumns

        many, bar = PredictionColumns(self._model.name, self._model.unit, level, features), ProgressBar(total)
        for some, texts in batches:
            bar.show(len(many))
            body: dict[str, Any] = {"xs": some, "level": level, **_if_strict(strict)}
            if any(texts):
                body["written"] = {"xs": texts}
            many.add(self._model._send("POST", "predict/", body), len(some))
        bar.clear()
        return many

    def _made(
        self,
        x: dict[str, Any],
        value: Any,
        interval: Any,
        answer: Mapping[str, Any],
        level: float,
        warnings: tuple[PointWarning, ...],
    ) -> Prediction:
        low, high = interval or (None, None)
        model = self._model
        identifier = answer.get("identifier")
        return Prediction(value, model.name, answer["at"], x, model.unit, low, high, level, identifier, warnings)

    def __getattr__(self, name: str) -> Any:
        # Only instances have this signature. On the class, it would hide the signature of the constructor.
        if name == "__signature__":
            return self._signature()
        raise AttributeError(name)

    def _signature(self) -> Signature:
        from inspect import Parameter, Signature
        from keyword import iskeyword

        try:
            features = self._model.features
        except TailraceError:  # a shell calls this while the user types: an error would only disturb
            features = {}
        names = [name for name in features if name.isidentifier() and not iskeyword(name)]
        own = {"level": LEVEL, "identifier": None, "track": False, "strict": False}
        parameters = [Parameter("points", Parameter.POSITIONAL_ONLY, default=None)]
        parameters += [Parameter(name, Parameter.KEYWORD_ONLY) for name in names if name not in own]
        parameters += [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in own.items()]
        return Signature(parameters)

    def __repr__(self) -> str:
        return f"<predict of {self._model.name}: predict(feature=value, …), predict([{{…}}, …]) or predict(DataFrame)>"


def _warning(data: Mapping[str, Any]) -> PointWarning:
    return PointWarning(data["code"], data.get("feature"), data["message"])


def _if_strict(strict: bool) -> dict[str, bool]:
    # Send the field only if needed: older servers do not know it.
    return {"strict": True} if strict else {}
