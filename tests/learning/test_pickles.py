"""Uploads and stored state: what river makes goes in and comes out as it was."""

import contextlib
import datetime
import inspect
import pickle
import pprint
import random
import subprocess
import sys
import textwrap
from array import array

import dill
import numpy as np
import pytest
import river.api
from river import (
    base,
    compose,
    feature_extraction,
    forest,
    linear_model,
    metrics,
    neighbors,
    preprocessing,
    stats,
    tree,
)

from server.core.errors import Invalid, TooLarge
from server.learning.pickles.loader import dump_state, dumps, load_estimator, load_state

pytestmark = pytest.mark.one_database  # bytes in, an estimator out

REFUSED = {
    "FuncTransformer": "it holds a function",
    "TargetTransformRegressor": "it holds two functions",
}
"""The estimators of river that an upload can't hold; both when their functions are of the client's own."""


NOT_KEPT_BY_RIVER = {
    "RandomTreesEmbedding": "its features are named by the addresses of its leaves",
    "STREAMKMeans": "its centres are drawn by a generator that its copy no longer shares",
}
"""The estimators of river that are another after any pickling, river's or ours."""


def estimators() -> list:
    """Each estimator that river constructs for its own tests."""
    found = []
    for module_name in river.api.__all__:
        if module_name in {"base", "compat", "datasets", "evaluate", "stream", "utils"}:
            continue
        for name in getattr(getattr(river.api, module_name), "__all__", ()):
            cls = getattr(getattr(river.api, module_name), name, None)
            if not isinstance(cls, type) or not issubclass(cls, base.Base) or inspect.isabstract(cls):
                continue
            try:
                made = [cls(**params) for params in cls._unit_test_params()]
            except (TypeError, ValueError, RuntimeError):
                continue
            found += [pytest.param(one, id=f"{module_name}.{name}-{index}") for index, one in enumerate(made)]
    return found


def train(model, points: int = 40) -> None:
    """Give it points of the kind that it takes, as far as it takes any."""
    chance = random.Random(7)
    for index in range(points):
        x = {"a": chance.random() * 10, "b": chance.random() * 3, "c": chance.choice([0.0, 1.0, 2.0])}
        y = x["a"] + x["b"]
        try:
            if hasattr(model, "forecast"):
                model.learn_one(y)
            elif type(model).__module__.startswith("river.reco."):
                model.learn_one(f"user {index % 3}", f"item {index % 5}", y)
            elif hasattr(model, "learn_one"):
                wanted = target(model, y)
                needed = [p for p in inspect.signature(model.learn_one).parameters.values() if p.default is p.empty]
                x = f"words of text {index % 7}" if base.tags.TEXT_INPUT in getattr(model, "_tags", ()) else x
                model.learn_one(*((x,) if len(needed) == 1 else (x, wanted)))
            elif hasattr(model, "update"):
                model.update(*((y, y) if isinstance(model, stats.base.Bivariate) else (y,)))
        except (TypeError, ValueError, AttributeError, KeyError, IndexError):
            return


def target(model, y: float):
    if isinstance(model, base.MultiLabelClassifier):
        return {"p": y > 6, "q": y > 8}
    if isinstance(model, base.MultiTargetRegressor):
        return {"p": y, "q": 2 * y}
    return y > 6 if isinstance(model, base.Classifier) else y


def answers(model) -> str:
    """What it says of ten points, as text, so that what can't be compared can."""
    chance = random.Random(8)
    said = []
    for index in range(10):
        x = {"a": chance.random() * 10, "b": chance.random() * 3, "c": chance.choice([0.0, 1.0, 2.0])}
        x = f"words of text {index}" if base.tags.TEXT_INPUT in getattr(model, "_tags", ()) else x
        for name in ("predict_one", "predict_proba_one", "score_one", "transform_one"):
            if hasattr(model, name):
                try:
                    said.append(getattr(model, name)(x))
                except (TypeError, ValueError, AttributeError, KeyError, IndexError, NotImplementedError) as error:
                    said.append(type(error).__name__)
    if hasattr(model, "get"):
        try:
            said.append(model.get())
        except (TypeError, ValueError, IndexError, NotImplementedError) as error:
            said.append(type(error).__name__)
    return pprint.pformat(said)  # keys sorted: a set of strings, and so some answers, has no order of its own


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("model", estimators())
def test_an_estimator_of_river_is_the_same_after_its_upload(model) -> None:
    if not isinstance(model, compose.Pipeline) or model.steps:
        train(model)
    sent = dill.dumps(model)
    uploaded = load_estimator(sent)
    stored = load_state(dumps(load_estimator(pickle.dumps(model, 5))))
    assert type(uploaded) is type(stored) is type(model)
    if type(model).__name__ in NOT_KEPT_BY_RIVER:
        return
    expected = answers(model)
    assert answers(uploaded) == expected
    assert answers(stored) == expected
    if not isinstance(model, compose.Pipeline) or model.steps:
        for one in (uploaded, stored, model):
            train(one, 10)
        assert answers(uploaded) == answers(stored) == answers(model)


MODELS = {
    "pipeline": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1),
    "select": lambda: compose.Select("a", "b") | linear_model.LinearRegression(),
    "union": lambda: (
        (compose.Select("a") + (compose.Select("b") | preprocessing.MinMaxScaler())) | linear_model.LinearRegression()
    ),
    "product": lambda: (compose.Select("a") * compose.Select("b")) | linear_model.LinearRegression(),
    "rolling scaler": lambda: preprocessing.StandardScaler(window_size=5) | linear_model.LinearRegression(),
    "select types": lambda: compose.SelectType(float, int) | tree.HoeffdingTreeRegressor(grace_period=10),
    "aggregate": lambda: feature_extraction.TargetAgg(by=["c"], how=stats.Mean()) | linear_model.LinearRegression(),
    "grouper": lambda: compose.Grouper(preprocessing.StandardScaler(), by="c") | linear_model.LinearRegression(),
    "forest": lambda: forest.ARFRegressor(seed=3, n_models=3, metric=metrics.MAE()),
    "passive-aggressive, mode 2": lambda: linear_model.PARegressor(C=0.01, mode=2, eps=0.1, learn_intercept=False),
    "minkowski": lambda: neighbors.KNNRegressor(
        engine=neighbors.LazySearch(dist_func=__import__("functools").partial(river.utils.math.minkowski_distance, p=3))
    ),
    "words": lambda: (
        feature_extraction.TFIDF(on="text", ngram_range=(1, 2), stop_words={"the"}) | linear_model.LinearRegression()
    ),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("dump", [dill.dumps, pickle.dumps, lambda m: pickle.dumps(m, 3), lambda m: pickle.dumps(m, 5)])
def test_a_composed_model_is_the_same_after_its_upload(make, dump) -> None:
    model = make()
    words = "TFIDF" in str(model)
    for index in range(30):
        numbers = {"a": index / 3, "b": index % 4, "c": index % 2}
        model.learn_one({"text": f"the word {index % 5}"} if words else numbers, index * 2.0)
    uploaded = load_estimator(dump(model))
    x = {"text": "the word 3"} if words else {"a": 2.5, "b": 1, "c": 1}
    for _ in range(3):
        assert uploaded.predict_one(x) == model.predict_one(x)
        for one in (uploaded, model):
            one.learn_one(x, 7.0)


class OfTheClient(linear_model.LinearRegression):
    """A class that only the client has."""


def own_function(x: dict) -> dict:
    return x


BY_NAME = {
    "lambda": (
        lambda: compose.FuncTransformer(lambda x: x) | linear_model.LinearRegression(),
        "dill._dill._create_function",
    ),
    "function": (lambda: compose.FuncTransformer(own_function) | linear_model.LinearRegression(), "own_function"),
    "class": (OfTheClient, "OfTheClient"),
    "metric of a list": (lambda: [linear_model.LinearRegression()], "builtins.list"),
    "data set": (lambda: river.api.datasets.Phishing(), "river.datasets.phishing.Phishing"),
    "numpy array": (lambda: np.ones(3), "numpy.ndarray"),
}


@pytest.mark.parametrize(("make", "named"), BY_NAME.values(), ids=BY_NAME)
def test_what_is_not_an_estimator_of_river_is_refused_by_name(make, named) -> None:
    with pytest.raises(Invalid) as caught:
        load_estimator(dill.dumps(make()))
    assert named in caught.value.message


@pytest.mark.parametrize("name", REFUSED)
def test_the_refused_estimators_are_refused(name: str) -> None:
    arguments = (linear_model.LinearRegression(), lambda y: y, lambda y: y) if "Target" in name else (lambda x: x,)
    with pytest.raises(Invalid, match="_create_function"):
        load_estimator(dill.dumps(getattr(compose, name)(*arguments)))


NOT_PICKLES = {
    "empty": (b"", "is empty"),
    "JSON": (b'{"class": "LinearRegression"}', "is not a pickle"),
    "text": (b"hello there", "is not a pickle"),
    "zip": (b"PK\x03\x04aaaaaaaaaaaaaaaa", "is not a pickle"),
    "zeros": (bytes(100), "is not a pickle"),
    "protocol 2": (pickle.dumps(1, 2), "pickle protocol 2"),
    "protocol 9": (b"\x80\x09.", "pickle protocol 9"),
}


@pytest.mark.parametrize(("data", "said"), NOT_PICKLES.values(), ids=NOT_PICKLES)
def test_what_is_not_a_pickle_is_said_not_to_be(data: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        load_estimator(data)


def test_a_truncated_upload_is_said_to_be_wherever_it_ends() -> None:
    data = dill.dumps(MODELS["pipeline"]())
    for end in range(2, len(data) - 1, 7):
        with pytest.raises(Invalid, match=r"truncated|malformed"):
            load_estimator(data[:end])
    with pytest.raises(Invalid, match=f"truncated.*{len(data) // 2} bytes"):
        load_estimator(data[: len(data) // 2])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(Invalid, match="3 bytes after the end"):
        load_estimator(dill.dumps(linear_model.LinearRegression()) + b"xyz")


def test_an_upload_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match="at most 10 are admitted"):
        load_estimator(dill.dumps(linear_model.LinearRegression()), max_bytes=10)


def test_flipped_bits_never_do_more_than_refuse() -> None:
    data = dill.dumps(forest.ARFRegressor(seed=1, n_models=2) | linear_model.PARegressor())
    chance = random.Random(11)
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with contextlib.suppress(Invalid):
            load_estimator(bytes(broken))


@pytest.mark.parametrize(
    "scaler", [preprocessing.StandardScaler, preprocessing.MinMaxScaler, preprocessing.MaxAbsScaler]
)
@pytest.mark.parametrize("write", [dumps, dump_state])
def test_scalers_are_stored_whole_and_once(write, scaler) -> None:
    model = scaler() | linear_model.LinearRegression()
    train(model)
    loaded, again = load_state(write([model, model[scaler.__name__]]))
    assert vars(loaded[scaler.__name__]) == vars(model[scaler.__name__])
    assert loaded[scaler.__name__] is again
    assert answers(loaded) == answers(model)


@pytest.mark.parametrize("write", [dumps, dump_state])
def test_state_keeps_plain_data_and_estimators(write) -> None:
    model = MODELS["forest"]()
    train(model)
    state = {
        "estimator": model,
        "metrics": {"MAE": metrics.MAE(), "by segment": {"1": stats.Mean()}},
        "curve": [1, 2.5, None, "x"],
        "column": array("d", [1.0, 2.0]),
        "numbers": np.arange(3.0),
        "bytes": b"abc",
        "at": datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC),
    }
    loaded = load_state(write(state))
    assert answers(loaded["estimator"]) == answers(model)
    assert loaded["column"] == state["column"]
    assert loaded["bytes"] == b"abc"
    assert loaded["at"] == state["at"]
    assert loaded["curve"] == state["curve"]
    assert loaded["numbers"].tolist() == [0.0, 1.0, 2.0]


def test_random_generators_go_on_where_they_were() -> None:
    for make in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64):
        model = linear_model.LinearRegression()
        model.generator = np.random.Generator(make(3))
        model.generator.random(3)
        model.old = np.random.RandomState(4)
        model.old.normal()
        uploaded = load_estimator(pickle.dumps(model))
        stored = load_state(dumps(uploaded))
        expected = model.generator.random(), model.old.normal()
        assert (uploaded.generator.random(), uploaded.old.normal()) == expected
        assert (stored.generator.random(), stored.old.normal()) == expected


def test_stored_state_looks_globals_up_too() -> None:
    with pytest.raises(Invalid, match=r"os\.system|posix\.system"):
        load_state(b"\x80\x04cos\nsystem\nX\x02\x00\x00\x00id\x85R.")
    with pytest.raises(Invalid, match="can't be read"):
        load_state(b"\x80\x04nonsense")


def test_a_download_loads_where_only_river_is_installed() -> None:
    model = MODELS["pipeline"]()
    model.learn_one({"a": 1.0, "b": 2.0}, 3.0)
    script = """
        import pickle, sys
        model = pickle.loads(sys.stdin.buffer.read())
        assert not any(name.split(".")[0] in {"server", "tailrace", "django", "dill"} for name in sys.modules)
        print(repr(model.predict_one({"a": 1.0, "b": 2.0})))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], input=dumps(model), capture_output=True, check=True
    )
    assert float(run.stdout) == model.predict_one({"a": 1.0, "b": 2.0})


def test_a_trusted_module_is_admitted_with_its_classes_and_functions(tmp_path, monkeypatch) -> None:
    (tmp_path / "site_models.py").write_text(
        textwrap.dedent(
            """
            import os
            from river import linear_model

            class Ours(linear_model.LinearRegression):
                pass

            def double(x):
                return {key: 2 * value for key, value in x.items()}
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import site_models  # type: ignore[import-not-found]

    data = dill.dumps(compose.FuncTransformer(site_models.double) | site_models.Ours())
    with pytest.raises(Invalid, match="site_models"):
        load_estimator(data)
    model = load_estimator(data, trusted_modules=["site_models"])
    assert model.transform_one({"a": 2.0}) == {"a": 4.0}
    walk = b"\x80\x04\x8c\x0bsite_models\x8c\x09os.system\x93\x8c\x02id\x85R."
    with pytest.raises(Invalid, match=r"site_models\.os\.system"):
        load_estimator(walk, trusted_modules=["site_models"])
    with pytest.raises(Invalid, match="site_models_of_another"):
        load_estimator(b"\x80\x04csite_models_of_another\nOurs\n)\x81.", trusted_modules=["site_models"])
