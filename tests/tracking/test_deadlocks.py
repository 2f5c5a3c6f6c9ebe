"""Writers that meet on PostgreSQL wait for each other and end: none is refused because of a deadlock."""

import threading
import time

import pytest
from django.db import connection

from server.core.db.locks import transaction_for_writing
from server.tracking import experiments, model_versions, registered_models, runs, writing
from server.tracking.models import ModelVersion, Run

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]
PATIENCE = 30


def meanwhile(work):
    """Start work in a thread that waits for a lock of this one. Return what to call after the lock is released."""
    failed = []

    def working():
        try:
            work()
        except Exception as exc:
            failed.append(exc)
        finally:
            connection.close()

    thread = threading.Thread(target=working)
    thread.start()
    until = time.monotonic() + PATIENCE
    waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                break
    else:
        raise AssertionError("it waits for nothing")

    def ended():
        thread.join(PATIENCE)
        assert not failed, failed

    return ended


def test_an_experiment_is_deleted_while_one_of_its_runs_is_written_to():
    experiment = experiments.create("melts")
    run = runs.create(experiment)
    with writing.locked(run.uid) as held:
        Run.objects.filter(pk=held.pk).update(status=Run.RUNNING)
        Run.objects.filter(pk=held.pk).update(
            status=Run.RUNNING
        )  # the second write has the commit check the experiment
        ended = meanwhile(lambda: experiments.delete(experiment))
    ended()
    assert runs.find(run.uid).lifecycle == "deleted"


def test_a_registered_model_is_deleted_while_its_versions_change():
    model = registered_models.create("fno")
    made = model_versions.create(model, f"runs:/{runs.create(experiments.default()).uid}/model")
    with transaction_for_writing():
        registered_models.held(model)
        ended = meanwhile(lambda: registered_models.delete(model))
        ModelVersion.objects.filter(pk=made.pk).update(description="new")
    ended()
    assert not ModelVersion.objects.exists()
