"""What goes through a set answers the same in each process, whatever the hashes of text there, and after a snapshot."""

import base64
import functools
import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest
from river import cluster, compose, dummy, forest, linear_model, multiclass, neighbors, preprocessing, tree, utils

from server.learning.pickles.loader import dump_state, dumps, load_estimator, load_state
from server.learning.river_adapters import set_order
from tests.learning.admitted import answer, fresh
from tests.serving import ROOT

pytestmark = pytest.mark.one_database  # estimators alone

NAMES = [f"feature {n}" for n in range(8)]

MODELS = {
    "mondrian forest": forest.AMFClassifier(n_estimators=2, seed=1),
    "adaptive tree": tree.HoeffdingAdaptiveTreeClassifier(grace_period=5, seed=1),
    "neighbors": neighbors.KNNClassifier(n_neighbors=4, engine=neighbors.LazySearch(window_size=60)),
    "weighted neighbors": neighbors.KNNClassifier(n_neighbors=4, engine=neighbors.LazySearch(), weighted=True),
    "last class": dummy.NoChangeClassifier(),
    "one against one": multiclass.OneVsOneClassifier(linear_model.LogisticRegression()),
    "binary splits": tree.HoeffdingTreeClassifier(grace_period=5, binary_split=True, delta=0.9, tau=0.9),
    "selected": compose.Select(*NAMES[:6]) | linear_model.LinearRegression(),
    "selected and scaled": compose.Select(*NAMES[:6])
    | preprocessing.StandardScaler()
    | linear_model.LinearRegression(),
    "centers": cluster.KMeans(n_clusters=3, seed=1),
    "distance of another power": neighbors.KNNRegressor(
        n_neighbors=3, engine=neighbors.LazySearch(dist_func=functools.partial(utils.math.minkowski_distance, p=3))
    ),
}


def answers(initial: bytes, *, snapshots: bool = False) -> list[str]:
    """All that a model says of 80 points, in full: the order of a dict's items and each bit of a number."""
    model: Any = load_state(initial)
    chance, said = random.Random(3), []
    for n in range(80):
        x = {name: chance.random() for name in NAMES} | {"kind": f"kind {chance.randrange(9)}"}
        x = {**x, "kind": chance.randrange(2)} if not hasattr(model, "grace_period") else x
        label = f"class {chance.randrange(12)}"
        said += [repr(answer(model, name, [fresh(x)])) for name in ("predict_one", "predict_proba_one")]
        classifies = "lassifier" in type(model).__name__
        target = (
            () if isinstance(model, cluster.KMeans) else (label,) if classifies else (sum(x[name] for name in NAMES),)
        )
        model.learn_one(fresh(x), *target)
        if snapshots and n % 10 == 9:
            model = load_state(dump_state(model))
    return said


IN_A_PROCESS = """
import base64, json, sys
from tests.learning.test_set_order import answers
print(json.dumps({name: answers(base64.b64decode(initial)) for name, initial in json.load(sys.stdin).items()}))
"""


def test_a_replay_in_a_process_with_other_hashes_says_the_same() -> None:
    initial = {name: dump_state(model) for name, model in MODELS.items()}
    sent = json.dumps({name: base64.b64encode(state).decode() for name, state in initial.items()})
    path = os.pathsep.join((str(ROOT), str(ROOT / "client")))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONHASHSEED": "12",
        "DJANGO_SETTINGS_MODULE": "server.settings",
    }
    run = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        input=sent,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    elsewhere = json.loads(run.stdout)
    here = {name: answers(state) for name, state in initial.items()}
    assert [name for name in MODELS if elsewhere[name] != here[name]] == []


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_snapshot_does_not_change_what_follows(model: Any) -> None:
    initial = dump_state(model)
    assert answers(initial, snapshots=True) == answers(initial)


def test_a_stored_model_holds_plain_sets_and_river_s_own_function() -> None:
    model = load_state(dump_state(MODELS["neighbors"]))
    model.learn_one({"a": 1.0}, "b")
    model.predict_proba_one({"a": 1.0})
    assert type(model.classes) is set
    assert b"server" not in dumps(model)
    assert load_estimator(dumps(MODELS["distance of another power"]))
    assert utils.math.minkowski_distance.__module__ == "river.utils.math"


def test_what_is_settled_twice_is_settled_once() -> None:
    method = neighbors.KNNClassifier.predict_proba_one
    set_order.install()
    assert neighbors.KNNClassifier.predict_proba_one is method


def test_the_distances_are_river_s() -> None:
    a, b = {"x": 1.0, "y": 2.0}, {"y": 4.0, "z": 3.0}
    assert utils.math.minkowski_distance(a, b, 1) == 6.0
    assert utils.math.minkowski_distance(a, b, 2) == pytest.approx(14**0.5)
    assert utils.math.minkowski_distance(a, b, 3) == pytest.approx(36 ** (1 / 3))


def test_a_feature_that_is_selected_and_missing_is_named() -> None:
    with pytest.raises(KeyError, match="b"):
        compose.Select("a", "b").transform_one({"a": 1})
    assert compose.Select("a", 1).transform_one({"a": 1, 1: 2}) == {"a": 1, 1: 2}
