"""What a mirror sends: each point once on a store that would keep it twice, and metrics that are the server's after each observation."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tailrace.errors import Unreachable
from tailrace.tracking.backends import Backend

from server.core.json_codec import loads
from server.learning import inspection
from server.learning.models import Model
from server.mirror.fingerprints import Fingerprint
from server.mirror.following import Mirror
from server.mirror.mirroring import Wishes
from server.mirror.series import Series
from server.streams.models import Stream
from tests.api_client import Api
from tests.client.append_only_mlflow import Store, append_only_mlflow
from tests.mirror.mirrored import CLASSIFIERS, points

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with append_only_mlflow() as found:
        yield found


@pytest.fixture
def var_dir(tmp_path: Path, settings: Any) -> Path:
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path})
    return tmp_path


def mirrored(store: Store) -> list[str]:
    """Mirror the metrics, again and again while answers get lost, and return what was said."""
    said: list[str] = []
    wishes = Wishes(snapshot_every=0)
    backend = Backend("mlflow", store.url)
    for _ in range(10):
        with Mirror(backend, ["s"], wishes, rate=0, say=said.append, stopping=threading.Event()) as mirror:
            try:
                mirror.once(patience=0)
                return said
            except Unreachable:
                continue
    raise AssertionError("it was never done")


def test_each_point_once_although_answers_get_lost_and_the_position_too(api: Api, store: Store, var_dir: Path) -> None:
    api.stream()
    api.model()
    api.ok("/api/v1/streams/s/observations/", {"observations": points(450)}, 201)
    store.lose, store.lose_creation = 3, 1
    mirrored(store)
    for path in (var_dir / "mirror").rglob("*.json"):
        path.unlink()
    api.ok("/api/v1/streams/s/observations/", {"observations": points(30, 2)}, 201)
    store.lose = 1
    mirrored(store)
    assert len(store.runs) == 1
    (run,) = store.runs.values()
    keys = {one["key"] for one in run["metrics"]}
    assert keys == {
        "scored",
        "MAE",
        "RMSE",
        "SMAPE",
        "R2",
        "Bias",
        *(f"rolling {n}" for n in ("MAE", "RMSE", "SMAPE", "Bias")),
    }
    for key in keys:
        assert [step for step, _ in store.points(key)] == list(range(1, 481)), key
    assert max(store.batches) <= 1000
    before = len(store.batches)
    assert mirrored(store) == []
    assert len(store.batches) == before


def test_metrics_after_each_observation_are_the_servers(api: Api) -> None:
    for flavor in ("binary", "multiclass"):
        api.upload(flavor, flavor, CLASSIFIERS[flavor])
    api.stream(segment="k")
    api.model()
    observations = [{"x": {**one["x"], "k": number % 2}, "y": one["y"]} for number, one in enumerate(points(40))]
    api.ok("/api/v1/streams/s/observations/", {"observations": observations[:25]}, 201)
    api.model("second", "s", "runtime")
    api.ok("/api/v1/streams/s/observations/", {"observations": observations[25:]}, 201)
    for flavor, label in (("binary", lambda y: y > 20), ("multiclass", lambda y: "long" if y > 40 else "short")):
        given = [{"x": one["x"], "y": label(one["y"])} for one in points(40)]
        api.ok(f"/api/v1/streams/{flavor}/observations/", {"observations": given}, 201)
    for name in ("lin", "binary", "multiclass"):
        model = Model.objects.select_related("stream").get(name=name)
        series = Series(model, 7, 3, Fingerprint())
        found = {}
        for _, lines in series.lines(40):
            for line in lines:
                told = loads(line)
                found[told["step"]] = told["values"]
        assert list(found) == list(range(9, 40, 3))
        for at, values in found.items():
            own = inspection.metrics(name, at=at)
            rolling = {f"rolling {key}": value for key, value in own["rolling"].items() if key != "window"}
            assert values == {"scored": own["n"], **own["metrics"], **rolling}, (name, at)


def test_an_observation_that_a_model_skips_is_noted_once(api: Api) -> None:
    """The replica is restored and learns the others again: so does what notes its metrics."""
    api.stream()
    api.model()
    api.model("mean", recipe="mean")
    observations = points(30)
    observations[17]["x"]["x"] = "a text"
    for one in observations:
        api.learn(one["x"], one["y"])
    assert inspection.state("lin")["skipped"] == 1
    model = Model.objects.select_related("stream").get(name="lin")
    found = [loads(line) for _, lines in Series(model, 0, 1, Fingerprint()).lines(30) for line in lines]
    assert [one["step"] for one in found] == list(range(1, 31))
    assert found[17]["values"] == found[16]["values"]
    assert found[29]["values"]["MAE"] == inspection.metrics("lin")["metrics"]["MAE"]


def test_a_fingerprint_is_the_same_in_parts(api: Api) -> None:
    api.stream()
    for one in points(12):
        api.learn(one["x"], one["y"])
    stream = Stream.objects.get(name="s")
    whole, parts = Fingerprint(), Fingerprint()
    whole.read(stream, 12)
    for upto in (5, 5, 6, 12):
        parts.read(stream, upto)
    assert parts == whole
    assert whole.at == 12
    other = Fingerprint()
    other.read(stream, 11)
    other.add(12, [{"x": 1}], [1.0])
    assert other.digest != whole.digest
