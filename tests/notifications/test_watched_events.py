"""Models that drift or are quarantined: each told once, to their owners, and what was there before to nobody."""

from datetime import UTC, datetime

import pytest
from river import linear_model

from server.learning import registry
from server.learning.models import Model, ModelStatus, Quarantine
from server.notifications.models import Notification
from server.operations import watched_events
from server.streams import registry as streams

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def model(ada, monkeypatch) -> Model:
    monkeypatch.setattr(watched_events._Looked, "drifts", None)
    streams.create("s", target_name="t")
    made = registry.create("m", "s", "regression", linear_model.LinearRegression(), owner_id=ada.pk)
    ModelStatus.objects.create(
        model=made, generation=1, n=100, scored=100, skipped=0, metric="MAE", snapshot_n=0, at=datetime.now(UTC)
    )
    return made


def quarantined(model: Model, verdict: str) -> None:
    Quarantine.objects.create(model=model, verdict=verdict, after=3, call="learn", reason="it took 3 s")


def told() -> list[tuple[str, str]]:
    found = Notification.objects.order_by("pk")
    return [(one.event, one.deliveries.get().user.username) for one in found]


def looked_at_by_another_process() -> None:
    watched_events._Looked.drifts = None
    watched_events.look()


def test_each_drift_is_told_once(model):
    watched_events.look()
    ModelStatus.objects.update(drift_at=90)
    watched_events.look()
    watched_events.look()
    looked_at_by_another_process()
    assert told() == [("model.drifted", "ada")]
    assert "observation 90" in Notification.objects.get().text
    ModelStatus.objects.update(drift_at=150)
    looked_at_by_another_process()
    watched_events.look()
    assert len(told()) == 2


def test_what_was_there_at_the_first_look_is_not_news(model):
    ModelStatus.objects.update(drift_at=90)
    quarantined(model, "a")
    watched_events.look()
    looked_at_by_another_process()
    assert told() == []


def test_each_quarantine_is_told_once(model, admin):
    watched_events.look()
    quarantined(model, "a")
    watched_events.look()
    looked_at_by_another_process()
    [one] = Notification.objects.all()
    assert "it took 3 s" in one.text
    assert {delivery.user.username for delivery in one.deliveries.all()} == {"ada", "root"}
