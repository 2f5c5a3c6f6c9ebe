"""The fold is deterministic: the same log gives the same predictions in processes that share nothing."""

import json
import os
import re
import subprocess
import sys

import pytest
from river import cluster, compose, feature_extraction, forest, linear_model

from server.core.errors import Invalid
from server.learning import registry
from server.learning.models import Model
from server.learning.river_adapters.determinism import NOT_REPEATABLE
from tests.serving import ROOT

pytestmark = pytest.mark.database

RECIPES = ["linear", "bayesian", "runtime", "forest", "hoeffding-tree", "knn"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("estimator", [cluster.STREAMKMeans(), compose.Select("a") | cluster.STREAMKMeans()])
def test_what_can_not_be_replayed_is_refused_with_the_reason(estimator):
    with pytest.raises(Invalid, match="STREAMKMeans can't be replayed"):
        registry.create("m", None, "cluster", estimator)
    assert not Model.objects.exists()


@pytest.mark.one_database
def test_the_refused_classes_are_river_s():
    known = {name for module in (cluster, feature_extraction, forest) for name in dir(module)}
    assert set(NOT_REPEATABLE) <= known | set(dir(linear_model))


def test_verify_passes_in_fresh_processes_for_seeded_and_unseeded_models(serve):
    server = serve(workers=1, threads=4, snapshot_points=100, snapshot_seconds=1)
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s", "kind": "number"}})
    for recipe in RECIPES:
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "s", "recipe": recipe})[0] == 201
    unseeded = {
        "name": "unseeded",
        "stream": "s",
        "flavor": "regression",
        "estimator": {"class": "forest.ARFRegressor"},
    }
    status, data = server.post("/api/v1/models/", unseeded)
    assert status == 201, data
    observations = [
        {
            "x": {"a": n % 17, "b": (n * n) % 23, "kind": "ab"[n % 2]} if n % 3 else {"a": n % 5, "b": 1.0},
            "y": 1.0 + n % 17,
        }
        for n in range(300)
    ]
    for low in range(0, 300, 60):
        body = {"observations": observations[low : low + 60]}
        status, data = server.post("/api/v1/streams/s/observations/", body)
        assert status == 201, data
    for hash_seed in ("1", "2"):
        server.environment["PYTHONHASHSEED"] = hash_seed
        done = server.manage("verify_model", *RECIPES, "unseeded")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("300 logged predictions") == len(RECIPES) + 1


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("", "observations 1 to 20: their checksum"),
        ("batch.checksum = None; ", "observation (8: the record has the y 7.0|9)"),
    ],
    ids=["", "of before there were checksums"],
)
def test_it_finds_a_log_that_was_tampered_with(serve, how, says):
    server = serve(workers=1, threads=2)
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s", "kind": "number"}})
    server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})
    server.post("/api/v1/streams/s/observations/", {"observations": [{"x": {"a": n}, "y": n} for n in range(20)]})
    tamper = (
        "import django; django.setup()\n"
        "from server.streams.models import Batch\n"
        f"batch = Batch.objects.get(); {how}batch.ys = batch.ys.replace('7', '70', 1); batch.save()\n"
    )
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "server.settings"}
    subprocess.run([sys.executable, "-c", tamper], cwd=ROOT, env={**os.environ, **environment}, check=True)
    done = server.manage("verify_model", "m")
    assert done.returncode == 1
    assert re.search(f"DIFFERS at {says}", done.stdout), done.stdout  # in the record, if that is written already
    assert json.loads(json.dumps(done.stdout)).count("\n") == 1
