"""An example of each admitted estimator, and the calls that it takes: for tests over all of them."""

import functools
import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any

import river.api
from river import (
    anomaly,
    base,
    cluster,
    compose,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    neighbors,
    optim,
    preprocessing,
    rules,
    stats,
    tree,
)
from tailrace.estimators.description import _Builder

from server.core.errors import Invalid
from server.learning.pickles import allowlist as allowlist
from server.learning.pickles.loader import dump_state, load_state
from server.learning.recipes import catalog

LINEAR = {"class": "linear_model.LinearRegression"}

NEEDED = {
    "river.anomaly.QuantileFilter": {"anomaly_detector": {"class": "anomaly.OneClassSVM"}, "q": 0.9},
    "river.compose.Grouper": {"transformer": {"class": "preprocessing.StandardScaler"}, "by": ["a"]},
    "river.compose.Prefixer": {"prefix": "p_"},
    "river.compose.Renamer": {"mapping": {"a": "b"}},
    "river.compose.Suffixer": {"suffix": "_s"},
    "river.feature_extraction.Agg": {"on": "a", "by": ["b"], "how": {"class": "stats.Mean"}},
    "river.feature_extraction.TargetAgg": {"by": ["b"], "how": {"class": "stats.Mean"}},
    "river.feature_selection.PoissonInclusion": {"p": 0.5, "seed": 1},
    "river.preprocessing.TargetMinMaxScaler": {"regressor": LINEAR},
    "river.preprocessing.TargetStandardScaler": {"regressor": LINEAR},
    "river.stats.RollingQuantile": {"q": 0.5, "window_size": 10},
}
"""Parameters of the classes that river can't construct by itself."""

NO_EXAMPLE = {
    "river.compose.func.FuncTransformer": "it holds a function, which no upload and no description can give",
    "river.compose.target_transform.TargetTransformRegressor": "it holds two functions",
    "river.misc.zstd_classifier.ZstdClassifier": "it needs Python 3.14",
}
"""Admitted classes that can't be made here, with the reason."""


def _linear() -> Any:
    return linear_model.LinearRegression()


def _swinn(**others: Any) -> Any:
    # Small enough that the graph is built, refined and pruned within a few points.
    return neighbors.SWINN(graph_k=3, warm_up=8, maxlen=14, max_candidates=4, seed=5, **others)


def _detector() -> Any:
    return river.api.drift.DummyDriftDetector(t_0=9, dynamic_cloning=True, seed=3)


MORE: dict[str, Callable[[], Any]] = {
    "words": lambda: feature_extraction.TFIDF(on="text", ngram_range=(1, 2)) | linear_model.LinearRegression(),
    "neighbors of SWINN": lambda: neighbors.KNNRegressor(n_neighbors=3, engine=_swinn()),
    "classes of SWINN": lambda: neighbors.KNNClassifier(n_neighbors=3, engine=_swinn(prune_prob=0.5)),
    "outliers of SWINN": lambda: anomaly.LocalOutlierFactor(n_neighbors=3, engine=_swinn()),
    "two SWINNs": lambda: ensemble.BaggingRegressor(neighbors.KNNRegressor(3, engine=_swinn()), n_models=2, seed=1),
    "random weights": lambda: linear_model.LinearRegression(initializer=optim.initializers.Normal(seed=4), l1=0.1),
    "renamed": lambda: compose.Renamer({"a": "c", "kind": "a"}) | compose.SelectType(float) | _linear(),
    "renamed in a union": lambda: (compose.Renamer({"a": "z"}) + compose.Select("b")) | tree.HoeffdingTreeRegressor(),
    "scaled by group": lambda: compose.Grouper(preprocessing.MinMaxScaler(), by="c") | _linear(),
    "one-hot": lambda: (compose.SelectType(str) | preprocessing.OneHotEncoder()) | _linear(),
    "imputed": lambda: preprocessing.StatImputer(("kind", stats.Mode()), ("a", stats.Mean())),
    "online extra trees": lambda: forest.OXTRegressor(n_models=2, grace_period=5, seed=1),
    "adaptive trees": lambda: forest.ARFClassifier(n_models=2, grace_period=5, drift_detector=_detector(), seed=1),
    "adaptive tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(grace_period=5, seed=2),
    "adaptive regression tree": lambda: tree.HoeffdingAdaptiveTreeRegressor(grace_period=5, seed=2),
    "random patches": lambda: ensemble.SRPRegressor(n_models=2, seed=1, drift_detector=_detector()),
    "rules": lambda: rules.AMRules(n_min=5, delta=0.5, tau=0.5),
    "clusters of clusters": lambda: cluster.ODAC(n_min=5),
    "over-sampled": lambda: river.api.imblearn.RandomOverSampler(
        linear_model.LogisticRegression(), desired_dist={False: 0.5, True: 0.5}, seed=1
    ),
    "under-sampled": lambda: river.api.imblearn.RandomUnderSampler(
        linear_model.LogisticRegression(), desired_dist={False: 0.5, True: 0.5}, seed=1
    ),
    "sampled": lambda: river.api.imblearn.RandomSampler(
        linear_model.LogisticRegression(), desired_dist={False: 0.5, True: 0.5}, sampling_rate=0.8, seed=1
    ),
    "halved": lambda: river.api.model_selection.SuccessiveHalvingClassifier(
        [linear_model.LogisticRegression(), tree.HoeffdingTreeClassifier(grace_period=5)],
        metric=river.api.metrics.Accuracy(),
        budget=30,
    ),
    "auto-correlation": lambda: stats.AutoCorr(3),
    "skyline": lambda: river.api.misc.Skyline(minimize=["a"], maximize=["b"]),
    "spectrum": lambda: river.api.misc.SDFT(4),
}
"""Estimators whose own example leaves out what matters here, or that river can't construct."""

# Of how many recent values a statistic is: the parameter's name is the same for all.
_ROLLING = ("RollingIQR", "RollingMax", "RollingAbsMax", "RollingMin", "RollingMode", "RollingPeakToPeak")


def examples() -> dict[str, bytes]:
    """Stored initial estimators, as a model has one, at least one of each class that can be made."""
    made: dict[str, Any] = {}
    for (module, name), cls in allowlist._river_classes().items():
        # An empty pipeline, river's example of one, can't even be asked what it is.
        if issubclass(cls, base.Base) and not inspect.isabstract(cls) and cls is not compose.Pipeline:
            for index, one in enumerate(_of_river(cls)):
                made[f"{module}.{name}-{index}"] = one
    build = _Builder().build
    made |= {name: build({"class": name, "params": params}, "estimator", 0) for name, params in NEEDED.items()}
    made |= {f"stats.{name}": getattr(stats, name)(5) for name in _ROLLING}
    made |= {f"recipe {recipe['name']}": catalog.build(recipe["name"])[1] for recipe in catalog.listing()}
    made |= {f"with {kind.__name__}": linear_model.LinearRegression(**of) for kind, of in _parts_of_linear_models()}
    made |= {f"with {kind.__name__}": _tree(kind) for kind in _classes_of(tree.splitter.base.Splitter)}
    made |= {name: make() for name, make in MORE.items()}
    stored = {name: dump_state(one) for name, one in made.items()}
    return {name: initial for name, initial in stored.items() if _is_read(initial)}


def _is_read(initial: bytes) -> bool:
    try:
        load_state(initial)
    except Invalid:  # such a model is refused when it is made
        return False
    return True


def _of_river(cls: type) -> list[Any]:
    try:
        return [cls(**params) for params in cls._unit_test_params()]  # type: ignore[attr-defined]
    except (TypeError, ValueError, RuntimeError):
        return []


def _parts_of_linear_models() -> Iterator[tuple[type, dict[str, Any]]]:
    for kind in _classes_of(optim.base.Optimizer):
        for optimizer in _of_river(kind)[:1]:
            yield kind, {"optimizer": optimizer}
    for kind in _classes_of(optim.base.Loss):
        if issubclass(kind, optim.losses.RegressionLoss):
            yield kind, {"loss": kind()}
    for kind, arguments in (("Constant", (0.1,)), ("InverseScaling", (0.1,)), ("Optimal", (optim.losses.Squared(),))):
        scheduler = getattr(optim.schedulers, kind)
        yield scheduler, {"optimizer": optim.SGD(scheduler(*arguments))}


def _tree(splitter: type) -> Any:
    if issubclass(splitter, tree.splitter.Quantizer):
        return tree.SGTRegressor(grace_period=5, feature_quantizer=splitter())
    made = splitter(**({"seed": 1, "buffer_size": 5} if splitter.__name__.endswith("RandomSplitter") else {}))
    try:
        return tree.HoeffdingTreeRegressor(grace_period=5, splitter=made)
    except ValueError:
        return tree.HoeffdingTreeClassifier(grace_period=5, splitter=made)


def _classes_of(parent: type) -> list[type]:
    found = [cls for cls in allowlist._river_classes().values() if issubclass(cls, parent) and cls is not parent]
    return [cls for cls in found if not inspect.isabstract(cls) and not cls.__name__.startswith("_")]


def point(chance: random.Random, index: int) -> dict[str, Any]:
    """What an observation may hold, in the forms that estimators of different kinds take."""
    a, b = chance.random() * 10, chance.randint(0, 3)
    kind = chance.choice(["red", "green", "3"])
    y = a + b + chance.random()
    return {
        "numbers": {"a": a, "b": b, "c": float(chance.randint(0, 2))},
        "mixed": {"a": a, "kind": kind, "b": b, "flag": a > 5, "text": f"the {kind} word {b}"},
        "text": f"the {kind} word {b} of {index % 7}",
        "y": y,
        "positive": {"a": b, "b": chance.randint(0, 4), "c": 1 + index % 3},
        "true": y > 7,
        "label": kind,
        "targets": {"p": y, "q": 2 * y},
        "labels": {"p": y > 7, "q": y > 9},
        "index": index,
        "shares": {True: a / 10, False: 1 - a / 10},
        "user": f"user {index % 3}",
        "item": f"item {index % 5}",
        "bond": {"bond": f"Cu-{kind}", "distance": 2 + a / 5}
        | {f"s{k}": chance.gauss(0, 1) / (k + 1) for k in range(64)},
    }


Parts = tuple[str, ...]

ASKS = ("predict_one", "predict_proba_one", "score_one", "transform_one")
LEARNS: dict[str, tuple[Parts, ...]] = {
    "learn_one": (
        *(
            (x, *y)
            for y in (("y",), ("label",), ("true",), (), ("targets",), ("labels",))
            for x in ("mixed", "numbers")
        ),
        *(("positive", "y"), ("positive", "true"), ("text", "y"), ("text",)),
        *(("user", "item", "y"), ("y",), ("y", "numbers"), ("bond", "y")),
    ),
    "update": (
        ("numbers",),
        ("true", "shares"),
        ("true", "true"),
        ("label", "label"),
        ("y", "y"),
        ("y",),
        ("true",),
        ("label",),
    ),
}
"""The methods that learn, with the parts of a point that they may take, the richest first."""


class Use:
    """How an estimator is used: its methods that work, with what each takes of a point.

    Parameters
    ----------
    initial
        The stored estimator. Each way of use is tried on a copy, and the one in which the fewest calls fail is taken.
    """

    def __init__(self, initial: bytes) -> None:
        self.calls: list[tuple[str, Parts]] = []
        model = load_state(initial)
        best = 0
        for learn, ways in LEARNS.items():
            if not callable(getattr(model, learn, None)):
                continue
            for parts in sorted(ways, key=_numbers_as_labels) if _is_classifier(model) else ways:
                if "bond" in parts and best:
                    continue  # its many numbers are slow for some, and only the models of bonds need them
                asked = parts[:2] if parts[0] == "user" else parts[:1]
                calls = [(ask, asked) for ask in ASKS if learn == "learn_one" and callable(getattr(model, ask, None))]
                calls += [("score_one", parts)] if ("score_one", asked) in calls and asked != parts else []
                calls += [("get", ())] if callable(getattr(model, "get", None)) else []
                good = self._tried([*calls, (learn, parts)], load_state(initial))
                if sum(good.values()) > best:
                    best, self.calls = sum(good.values()), [call for call, count in good.items() if count]
                if best == TRIED * (len(calls) + 1):
                    return

    @staticmethod
    def _tried(calls: list[tuple[str, Parts]], model: Any) -> dict[tuple[str, Parts], int]:
        good = dict.fromkeys(calls, 0)
        for made in stream(1, TRIED):
            for call in calls:
                answered = answer(model, call[0], [fresh(made[part]) for part in call[1]])
                good[call] += not isinstance(answered, Failed)
            if isinstance(answered, Failed):
                return {}  # it has to learn
        return good

    def step(self, model: Any, made: dict[str, Any]) -> list[Any]:
        """Ask and learn one point; an error is an answer too."""
        return [answer(model, name, [fresh(made[part]) for part in parts]) for name, parts in self.calls]


TRIED = 12


def _is_classifier(model: Any) -> bool:
    return isinstance(model, (base.Classifier, base.MultiLabelClassifier))


def _numbers_as_labels(parts: Parts) -> bool:
    return "y" in parts or "targets" in parts  # a classifier takes each for a label of its own


class Failed(str):
    """What an estimator raised, as an answer."""


def answer(model: Any, name: str, arguments: list[Any]) -> Any:
    try:
        return getattr(model, name)(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # river's Rust code may panic
        return Failed(f"{type(error).__name__}: {error}")


def fresh(value: Any) -> Any:
    """A part of a point that no other model has had."""
    return dict(value) if isinstance(value, dict) else value


@functools.cache
def stream(seed: int, count: int) -> list[dict[str, Any]]:
    """``count`` points, the same for the same seed; what is given to a model is to be made `fresh`."""
    chance = random.Random(seed)
    return [point(chance, index) for index in range(count)]
