"""Uploads that are too much by what their parameters add up to: refused by name, on the loader and over HTTP."""

import collections
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from river import compose, ensemble, forest, linear_model, preprocessing, stats
from river.imblearn.hard_sampling import Triplet

from server.core.errors import Invalid
from server.learning import registry
from server.learning.pickles.graph import check_graph
from server.learning.pickles.loader import load_estimator
from server.learning.recipes import catalog
from server.streams import registry as streams
from tests.learning.hostile_limits import LIMITS, having
from tests.learning.loading import Loader

pytestmark = pytest.mark.one_database  # bytes in, a refusal out


@pytest.mark.parametrize("name", LIMITS)
def test_it_is_refused_by_name_within_a_gigabyte(name: str, loader: Loader) -> None:
    """In a process of its own, whose memory is limited, so that one that goes off is seen to."""
    code, said = loader(f"LIMITS[{name!r}][0]()")
    assert code == 0, said
    assert LIMITS[name][1] in said
    assert len(said) < 700
    assert said.isprintable(), "half a character can't be answered"


@pytest.mark.timeout(900)
def test_each_is_a_400_of_a_server_that_goes_on(serve: Callable[..., Any]) -> None:
    server = serve(workers=1, threads=4)
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})[0] == 201
    for count, (name, (make, named)) in enumerate(LIMITS.items(), 1):
        status, answer = server.post(f"/api/model/custom/hostile-{count}/", make())
        assert status == 400, f"{name}: {answer}"
        assert named in str(answer), f"{name}: {answer}"
    assert server.post("/api/v1/streams/s/observations/", {"x": {"a": 1.0}, "y": 2.0})[0] == 201
    assert server.log.read_text().count("Booting worker") <= 1


KEPT: dict[str, Callable[[], Any]] = {
    "a bagging of a hundred": lambda: ensemble.BaggingRegressor(linear_model.LinearRegression(), n_models=100, seed=1),
    "a bagging of baggings": lambda: ensemble.BaggingRegressor(
        ensemble.BaggingRegressor(linear_model.LinearRegression(), n_models=10, seed=1), n_models=20, seed=1
    ),
    "a hundred trees": lambda: forest.ARFRegressor(n_models=100, seed=1),
    "whole numbers of numpy": lambda: forest.ARFRegressor(n_models=np.int64(5), grace_period=np.uint8(50), seed=1),
    "a rolling scaler": lambda: preprocessing.StandardScaler(window_size=1000),
    "a large measure": lambda: linear_model.BayesianLinearRegression(alpha=1e12, beta=10.0**12),
    "many keys": lambda: _with_keys({i: float(i) for i in range(20_000)}),
    "keys of floats": lambda: _with_keys({i / 7: 1.0 for i in range(5_000)}),
    "keys of pairs": lambda: _with_keys({(i, -i): 1.0 for i in range(5_000)}),
    "a triplet": lambda: _with_keys({Triplet("x", 1.0, 2.0): 1.0}),
    "a factory": lambda: _with_keys(collections.defaultdict(partial(stats.RollingQuantile, 0.5, 100))),
    "a chain": lambda: compose.Pipeline(preprocessing.StandardScaler(), linear_model.LinearRegression()),
}


def _with_keys(held: Any) -> Any:
    model = linear_model.LinearRegression()
    model.held = held
    return model


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_is_within_the_limits_is_admitted(make: Callable[[], Any], protocol: int) -> None:
    made = make()
    assert type(load_estimator(pickle.dumps(made, protocol))) is type(made)


def test_every_recipe_is_within_the_limits_at_its_own() -> None:
    for recipe in catalog.listing():
        for bound in ("minimum", "maximum"):
            given = {}
            for parameter in recipe["parameters"]:
                if bound in parameter:
                    given[parameter["name"]] = (
                        int(parameter[bound]) if parameter["kind"] == "integer" else parameter[bound]
                    )
            _, estimator, _ = catalog.build(recipe["name"], given)
            check_graph(estimator)


def test_a_refused_chain_is_taken_apart(loader: Loader) -> None:
    code, said = loader('upload(get("collections", "deque") + b"\\x940" + b"h\\x00)R" * 44_000 + b"N" + b"a" * 44_000)')
    assert code == 0, said
    assert "collections.deque" in said


def test_numbers_of_any_kind_are_told_in_the_refusal() -> None:
    for kind in (np.int64, np.uint32, np.int32, float, np.float64, np.array, lambda n: np.array([[n]])):
        with pytest.raises(Invalid, match="n_models is 100000000; at most 1000"):
            load_estimator(having(forest.ARFRegressor(seed=1), n_models=kind(10**8)))


@pytest.mark.django_db
def test_an_estimator_that_was_not_uploaded_is_held_to_the_same_limits() -> None:
    streams.create("s")
    model = ensemble.BaggingRegressor(linear_model.LinearRegression(), n_models=2, seed=1)
    model.model, model.n_models = ensemble.BaggingRegressor(linear_model.LinearRegression(), 900, seed=1), 1000
    with pytest.raises(Invalid, match="is too large"):
        registry.create("m", "s", "regression", model)
