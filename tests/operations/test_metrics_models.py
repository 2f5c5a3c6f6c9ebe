"""How models stand, as it is written down beside the requests: what the metrics of each model are made of."""

import pytest
from river import linear_model

from server.learning import inspection
from server.learning import registry as models
from server.learning.background import maintenance, model_status
from server.learning.fold.replica_set import SETS
from server.learning.models import Model, ModelStatus
from server.learning.write_path import learn_points
from server.operations import database_metrics
from server.streams import registry as streams
from server.streams.models import Retraction, Stream
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nobody_is_followed():
    model_status._trackers.clear()


def make(name: str = "m", flavor: str = "regression", estimator=None, **declared) -> Stream:
    streams.create(name, **declared)
    models.create(name, name, flavor, estimator or linear_model.LinearRegression())
    return streams.find(name)


def learn(stream: Stream, ys: list, a: float = 1.0) -> None:
    learn_points.learn(stream.pk, [Point({"a": a}, y) for y in ys])


def samples(name: str) -> dict[str, float]:
    """Series of the metrics, by their model and what it is over."""
    (family,) = (family for family in database_metrics.families() if family.name == name)
    return {"/".join(s.labels[k] for k in ("model", "over") if k in s.labels): s.value for s in family.samples}


def test_a_model_status_holds_what_the_models_metrics_say():
    stream = make()
    learn(stream, [1.0, 2.0, 4.0, 8.0])
    assert model_status.write() == 1
    said = inspection.metrics("m")
    own = ModelStatus.objects.get(model__name="m")
    assert (own.n, own.scored, own.skipped, own.metric) == (4, said["n"], 0, "RMSE")
    assert own.value == said["metrics"]["RMSE"]
    assert own.rolling == said["rolling"]["RMSE"]
    assert samples("tailrace_model_score") == {"m/all": own.value, "m/window": own.rolling}
    assert samples("tailrace_model_observations") == {"m": 4}


def test_it_is_written_again_only_when_the_model_has_changed():
    stream = make()
    learn(stream, [1.0])
    assert model_status.write() == 1
    assert model_status.write() == 0
    maintenance.write_due_snapshots(all_changed=True)
    assert model_status.write() == 1  # its snapshot is news, too
    assert samples("tailrace_model_unsaved_observations") == {"m": 0}
    assert samples("tailrace_model_snapshot_timestamp_seconds")["m"] > 1.7e9
    learn(stream, [1.0])
    assert model_status.write() == 1
    assert samples("tailrace_model_unsaved_observations") == {"m": 1}


def test_what_an_older_replica_knows_does_not_overwrite_what_is_newer():
    stream = make()
    learn(stream, [1.0, 2.0, 3.0])
    model_status.write()
    ModelStatus.objects.update(n=10, drift_at=9)
    learn(stream, [4.0])
    model_status.write()
    assert ModelStatus.objects.get().n == 10
    learn(stream, [5.0] * 10)
    model_status.write()
    own = ModelStatus.objects.get()
    assert (own.n, own.drift_at) == (14, 9)  # drift that another process found stays


def test_a_rebuilt_model_begins_anew():
    stream = make()
    learn(stream, [1.0, 2.0, 3.0])
    model_status.write()
    ModelStatus.objects.update(drift_at=2)
    Retraction.objects.create(stream=stream, seq=2, reason="wrong node")
    maintenance.rebuild_after_retractions()
    learn(stream, [4.0])
    model_status.write()
    own = ModelStatus.objects.get()
    assert own.generation == Model.objects.get().generation == 2
    assert (own.n, own.skipped, own.drift_at) == (4, 1, None)


def test_drift_is_one_for_as_long_as_it_is_within_the_rolling_window():
    stream = make(target_kind="number")
    for _ in range(3):
        learn(stream, [10.0, 10.5] * 25)
        model_status.write()
    assert samples("tailrace_model_drift") == {"m": 0}
    learn(stream, [500.0, -500.0] * 30)
    model_status.write()
    assert samples("tailrace_model_drift") == {"m": 1}
    drift_at = ModelStatus.objects.get().drift_at
    assert 150 < drift_at <= 210
    ModelStatus.objects.update(scored=drift_at + 99)
    assert samples("tailrace_model_drift") == {"m": 1}
    ModelStatus.objects.update(scored=drift_at + 100)
    assert samples("tailrace_model_drift") == {"m": 0}


def test_models_that_are_judged_by_labels_or_by_nothing():
    yes = make("yes", "binary", linear_model.LogisticRegression(), target_kind="boolean")
    learn(yes, [True, False, True, True])
    free = make("free", "custom", linear_model.LinearRegression())
    learn(free, [1.0, 2.0])
    model_status.write()
    scores = samples("tailrace_model_score")
    assert scores["yes/all"] == inspection.metrics("yes")["metrics"]["Accuracy"]
    assert set(scores) == {"yes/all", "yes/window"}
    assert samples("tailrace_model_scored") == {"yes": 4, "free": 1}  # an empty model's first 0 is no prediction
    assert samples("tailrace_model_drift") == {"yes": 0}


def test_errors_that_are_no_numbers_any_more_harm_nothing():
    stream = make(target_kind="number")
    learn(stream, [1.7e308, -1.7e308, 1.0, 1e300])
    assert model_status.write() == 1
    assert ModelStatus.objects.get().n == 4
    assert all(value == value for value in samples("tailrace_model_score").values())


def test_a_model_that_is_deleted_meanwhile_leaves_nothing():
    stream = make()
    learn(stream, [1.0])
    Model.objects.all().delete()  # as another process does it
    model_status.write()
    assert not ModelStatus.objects.exists()
    SETS.clear()
    model_status.write()
    assert not model_status._trackers


def test_a_model_that_nobody_asked_for_since_the_upgrade_has_its_number_and_no_more():
    stream = make()
    learn(stream, [1.0, 2.0])
    assert samples("tailrace_model_observations") == {"m": 2}
    assert samples("tailrace_model_scored") == {}
    assert samples("tailrace_stream_observations") == {"": 2}
