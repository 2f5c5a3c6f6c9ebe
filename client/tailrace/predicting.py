"""Asking a model: one point as keywords, many as a list or a DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from tailrace.errors import PredictionWarning, TailraceError, Unusable
from tailrace.frames import batches_of, is_frame, point_at
from tailrace.plain import is_series, plain_point
from tailrace.results import PointWarning, Prediction, Predictions
from tailrace.written import written

if TYPE_CHECKING:
    from inspect import Signature

    from pandas import DataFrame, Series

    from tailrace.gathered import Gathered
    from tailrace.model import Model

    _Batch = tuple[list[dict[str, Any]], Sequence[Any]]
    """Points of one request, and the texts that they were read from."""

__all__ = ["Predictor"]

AT_ONCE = 1000
"""Points of one request; more are sent in several."""

LEVEL = 0.95

_BRIEFLY = {
    "unknown_feature": "{} is unknown",
    "missing_feature": "{} is missing",
    "other_kind": "{} is of another kind",
    "outside": "{} is outside of what was seen",
}


class Predictor:
    """``model.predict``: ask for a prediction; nothing is learned.

    Its signature names the stream's features, so that a shell completes them.
    """

    def __init__(self, model: Model) -> None:
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
            Features by name, a pandas Series among them; or an iterable of such, or a DataFrame with a column a feature
            (where a missing value leaves the feature out). Needed for features that are called ``level``, ``identifier``, ``track``
            or ``strict``.
        level
            Of the central interval, between 0 and 1; given where the model's estimator has intervals.
        identifier, track
            Keep the prediction (of one point) under this identifier or one of the server's, until `Client.label` says
            what came true.
        strict
            Refuse points that differ from all that the stream has seen, instead of a `PredictionWarning`. A stream that declares
            its features refuses what doesn't fit by itself.
        features
            One point's features: ``predict(x=8, y=16, z=8)``.

        Returns
        -------
        A `Prediction` for one point, `Predictions` for many. Where points differ from those that the stream has seen, their
        `warnings` say how, and one `PredictionWarning` is issued (by :mod:`warnings`), for those who use the number alone.

        Raises
        ------
        Unusable
            If these are no points.
        Refused
            If a feature is unknown or of the wrong kind (of what the stream declares, or, if `strict`, has seen), the model is still learning the stream's history, or the token
            may not predict; `NotFound` if there is no such model. The message says which.
        Unreachable
            If the server doesn't answer in time.
        """
        if self._model.at is not None:
            raise Unusable(
                f"a server predicts as of now, and this is model {self._model.name} as of observation {self._model.at}: "
                f"download() it and ask that, or ask model {self._model.name} itself"
            )
        if points is None or isinstance(points, Mapping) or is_series(points):
            if points is not None and features:
                raise TypeError("give the features either as a mapping or as keywords, not both")
            one = self._one(points if points is not None else features, level, identifier, track, strict)
            self._warn(one.warnings)
            return one
        if features or identifier is not None or track:
            given = next(iter(features), "identifier" if identifier is not None else "track")
            raise TypeError(f"{given} goes with one point: many points bring their own features, and none is kept")
        if isinstance(points, (str, bytes)) or not isinstance(points, Iterable):
            raise Unusable(f"{points!r} is no point: expected features by name, a list of such, or a DataFrame")
        if is_frame(points):
            frame: Any = points
            batches: Iterable[_Batch] = ((batch, ()) for batch in batches_of(frame, AT_ONCE))
            many = self._many(batches, len(frame), lambda number: point_at(frame, number), level, strict)
            found = Predictions(many, frame.index, frame)
        else:
            plain = [(plain_point(x, f"points[{number}]"), written(x).get("x")) for number, x in enumerate(points)]
            some = (plain[start : start + AT_ONCE] for start in range(0, len(plain), AT_ONCE))
            batches = (([x for x, _ in part], [texts for _, texts in part]) for part in some)
            found = Predictions(self._many(batches, len(plain), lambda number: plain[number][0], level, strict))
        self._warn(found.warnings)
        return found

    def _warn(self, found: Sequence[PointWarning]) -> None:
        """One warning for a call, without values: so Python shows it once where the same is asked in a loop."""
        if found:
            said = ", ".join(dict.fromkeys(_BRIEFLY.get(one.code, one.message).format(one.feature) for one in found))
            message = (
                f"model {self._model.name} was asked about what its stream has not seen: {said} (.warnings says more)"
            )
            self._model._client.server.warn(message, PredictionWarning)

    def _one(self, features: Any, level: float, identifier: str | None, track: bool, strict: bool) -> Prediction:
        x = plain_point(features)
        body: dict[str, Any] = {"x": x, "level": level, **_if_strict(strict)}
        if texts := written(features):
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
    ) -> Gathered:
        from tailrace.gathered import Gathered
        from tailrace.progress import Bar

        many, bar = Gathered(self._model.name, self._model.unit, level, features), Bar(total)
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
        # Asked of an instance only: on the class it would stand in the way of its own signature.
        if name == "__signature__":
            return self._signature()
        raise AttributeError(name)

    def _signature(self) -> Signature:
        from inspect import Parameter, Signature
        from keyword import iskeyword

        try:
            features = self._model.features
        except TailraceError:  # a shell asks this while one types, where an error would only be in the way
            features = {}
        names = [name for name in features if name.isidentifier() and not iskeyword(name)]
        own = {"level": LEVEL, "identifier": None, "track": False, "strict": False}
        parameters = [Parameter("points", Parameter.POSITIONAL_ONLY, default=None)]
        parameters += [Parameter(name, Parameter.KEYWORD_ONLY) for name in names if name not in own]
        parameters += [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in own.items()]
        return Signature(parameters)

    def __repr__(self) -> str:
        return f"<predict of {self._model.name}: predict(feature=value, …), predict([{{…}}, …]) or predict(DataFrame)>"


def _warning(told: Mapping[str, Any]) -> PointWarning:
    return PointWarning(told["code"], told.get("feature"), told["message"])


def _if_strict(strict: bool) -> dict[str, bool]:
    # A server of an older version knows no such field.
    return {"strict": True} if strict else {}
