"""Quotas of runs and of the points that they log: one token can't fill the disk."""

import pytest

from server.operations.recount import recount
from server.streams.models import Usage
from server.tracking import experiments, logged_models, retention, run_quotas
from server.tracking.models import Artifact, DomainRecord, LoggedModel, Metric, Run
from tests.api_client import refused
from tests.tracking.conftest import Tracked
from tests.tracking.served import metrics

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def quota(settings):
    def set_quotas(**quotas):
        update = {f"quota_{name}": value for name, value in {"token_percent": 100, **quotas}.items()}
        settings.TAILRACE = settings.TAILRACE.model_copy(update=update)

    return set_quotas


def used(quota):
    run_quotas.POINTS.give_back(idle=-1)
    row = Usage.objects.filter(quota=quota, token_id=0).first()
    return 0 if row is None else row.used


def another(api, digit):
    run = Tracked(api, digit * 32)
    return run, run.send("PUT", "", {"experiment": "darcy flow/ü"})


def test_runs_count_until_they_are_removed_for_good(run, ada, quota):
    quota(runs=2)
    other, answer = another(ada, "b")
    assert answer.status_code == 201 and answer.headers["X-Tailrace-Quota"]
    for _ in range(2):
        over = refused(another(ada, "c")[1], 403, None, "quota_exceeded")
        assert "TAILRACE_QUOTA_RUNS" in over["message"] and "RUN_RETENTION_DAYS" in over["message"]
    assert another(ada, "b")[1].status_code == 200, "what is there is found"
    refused(ada.post("/api/v1/runs/", {"experiment": "darcy flow/ü"}), 403, None, "quota_exceeded")
    made = ada.post("/api/2.0/mlflow/runs/create", {"experiment_id": str(Run.objects.first().experiment_id)})
    assert made.status_code == 403
    other.send("DELETE", "")
    assert used("runs") == 2
    retention.remove_due(2**60)
    assert used("runs") == 1 and another(ada, "c")[1].status_code == 201
    assert recount() == []


def test_points_count_once_and_what_exceeds_the_quota_changes_nothing(run, quota):
    quota(metric_points=100)
    lines = [metrics(step, loss=1.0, error=2.0) for step in range(30)]
    assert run.lines(0, *lines).status_code == 200
    assert run.lines(0, *lines, writer="again").status_code == 200
    assert used("metric_points") == Metric.objects.count() == 60
    more = [metrics(step, loss=1.0, error=2.0) for step in range(30, 60)]
    over = refused(run.lines(30, *more), 403, None, "quota_exceeded")
    assert "TAILRACE_QUOTA_METRIC_POINTS" in over["message"]
    assert used("metric_points") == Metric.objects.count() == 60
    assert run.send("GET", "lines/?writer=w").json()["next"] == 30, "the client keeps them, and sends them again"
    assert run.lines(30, *more[:20]).status_code == 200
    batch = {"run_id": run.uid, "metrics": [{"key": "x", "value": 1.0, "timestamp": 1, "step": 1}]}
    assert run.api.post("/api/2.0/mlflow/runs/log-batch", batch).status_code == 403
    assert used("metric_points") == Metric.objects.count() == 100
    assert recount() == []


def test_a_token_uses_its_share_of_the_points(run, quota):
    quota(metric_points=100, token_percent=50)
    assert run.lines(0, *(metrics(step, loss=1.0) for step in range(50))).status_code == 200
    over = refused(run.lines(50, metrics(50, loss=1.0)), 403, None, "quota_exceeded")
    assert "token" in over["message"]
    assert recount() == []


def test_records_of_domains_count_by_their_size(run, quota):
    quota(metric_points=100)
    record = {"kind": "domain", "domain": "fno", "step": 1, "time_ms": 1, "values": {"note": "x" * 630, "modes": 12}}
    for writer in ("w", "again"):
        assert run.lines(0, record, writer=writer).json()["refused"] == []
    (kept,) = DomainRecord.objects.all()
    expected = 1 + len(kept.document.encode()) // 64 + Metric.objects.count()
    assert (used("metric_points"), Metric.objects.count()) == (expected, 1)
    over = [{**record, "step": step} for step in range(2, 12)]
    refused(run.lines(1, *over), 403, None, "quota_exceeded")
    assert (used("metric_points"), DomainRecord.objects.count()) == (expected, 1)
    assert recount() == []
    run.send("DELETE", "")
    retention.remove_due(2**60)
    assert used("metric_points") == used("runs") == 0
    assert recount() == []


def test_a_deleted_logged_model_is_removed_with_its_files(run, ada):
    experiment = experiments.by_name("darcy flow/ü")
    models = [logged_models.create(experiment, name=name) for name in ("old", "kept")]
    for model in models:
        Artifact.objects.create(model=model, path="model.pkl", sha256="a" * 64, size=3, made_ms=1)
    logged_models.delete(models[0])
    retention.remove_due(1)
    assert LoggedModel.objects.count() == 2, "not yet"
    retention.remove_due(2**60)
    assert list(LoggedModel.objects.values_list("name", flat=True)) == ["kept"]
    assert list(Artifact.objects.values_list("model__name", flat=True)) == ["kept"]
    assert Run.objects.count() == 1
