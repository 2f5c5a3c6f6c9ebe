"""Bond strengths on a server: a type at a time, with intervals, replayed bit for bit whatever the machine's processors."""

import random

import pytest
from tailrace.estimators.bond_recipes import RECIPES

from server.learning.pickles.loader import dump_state, dumps, load_estimator, load_state
from server.learning.recipes import catalog

pytestmark = pytest.mark.one_database  # of logs and replays on PostgreSQL tests/learning/test_determinism.py tells

KINDS = ("Zr-Cu", "Cu-Cu", "Zr-Zr")


def _observations(n, numbers=64, seed=0):
    rng = random.Random(seed)
    points = []
    for number in range(n):
        distance = rng.uniform(2, 4)
        x = {"bond": KINDS[number % 3], "distance": distance}
        x |= {f"s{k}": rng.gauss(0, 1) / (k + 1) for k in range(numbers)} | {"s0": 0.95}
        points.append({"x": x, "y": 2.7 ** (2.8 - distance) * (1 + 0.1 * x["s1"])})
    return points


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_what_the_function_of_its_name_makes(name):
    _, model, _ = catalog.build(name)
    assert repr(model) == repr(RECIPES[name]())


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_that_learned_is_read_back_by_the_restricted_loader_and_goes_on_to_the_last_bit(name):
    _, model, _ = catalog.build(name)
    points = _observations(90, numbers=8)
    for point in points[:60]:
        model.learn_one(point["x"], point["y"])
    uploaded, stored = load_estimator(dumps(model)), load_state(dump_state(model))
    for one in (model, uploaded, stored):
        for point in points[60:]:
            one.learn_one(point["x"], point["y"])
    answers = [[one.predict_one(point["x"]) for point in points] for one in (model, uploaded, stored)]
    assert answers[0] == answers[1] == answers[2]


def test_a_replay_with_another_number_of_processors_is_the_same_to_the_last_bit(serve):
    server = serve(workers=1, threads=4, snapshot_points=40, snapshot_seconds=1)
    stream = {"name": "s", "target": {"name": "-ICOHP", "unit": "eV", "kind": "number"}, "segment": "bond"}
    assert server.post("/api/v1/streams/", stream)[0] == 201
    for recipe in RECIPES:
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "s", "recipe": recipe})[0] == 201
    points = _observations(120)
    for low in range(0, 120, 40):
        status, data = server.post("/api/v1/streams/s/observations/", {"observations": points[low : low + 40]})
        assert status == 201, data
    for threads in ("1", "2"):
        server.environment["OPENBLAS_NUM_THREADS"] = threads
        done = server.manage("verify_model", *RECIPES)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("120 logged predictions") == len(RECIPES)
    x = points[0]["x"]
    status, data = server.post("/api/v1/models/bond-gpr/predict/", {"x": x, "level": 0.9})
    assert status == 200, data
    low, high = data["interval"]
    assert low < data["prediction"] < high
    status, data = server.post("/api/v1/models/bond-forest/predict/", {"x": x, "level": 0.9})
    assert (status, data.get("interval")) == (200, None)


def test_a_bond_of_another_descriptor_is_passed_over_with_the_reason_and_the_others_learn(serve):
    server = serve(workers=1, threads=2)
    stream = {"name": "s", "target": {"name": "-ICOHP", "unit": "eV", "kind": "number"}}
    assert server.post("/api/v1/streams/", stream)[0] == 201
    for recipe in ("bond-gpr", "bond-distance"):
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "s", "recipe": recipe})[0] == 201
    points = [*_observations(30), *_observations(3, numbers=8, seed=1)]
    status, data = server.post("/api/v1/streams/s/observations/", {"observations": points})
    assert status == 201, data
    status, model = server.get("/api/v1/models/bond-gpr/")
    assert (model["learned"], model["skipped"]) == (30, 3)
    assert "s0 to s63 here; there is no s8" in str(model)
    assert server.get("/api/v1/models/bond-distance/")[1]["learned"] == 33
