"""SIGKILL where a start or a snapshot is in the middle of something: what comes next finds all or nothing of it."""

import contextlib
import signal
import sqlite3
import threading
import time

import psycopg2
import pytest

from tests.faults.telling import logged, until_told
from tests.serving import PATIENCE, fresh_database

pytestmark = pytest.mark.database

STREAM = "/api/v1/streams/s/observations/"
ASKED = {"xs": [{"a": float(n)} for n in range(5)]}


def prepare(server):
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})[0] == 201


def learn(server, count):
    for n in range(count):
        assert server.post(STREAM, {"x": {"a": float(n)}, "y": 2.0 * n})[0] == 201


def applied(server, database):
    """How many migrations the database has had; 0 before there is a table of them."""
    with contextlib.suppress(sqlite3.Error, psycopg2.Error):
        file = f"file:{server.directory / 'tailrace.sqlite3'}?mode=ro"
        connection = psycopg2.connect(database) if database else sqlite3.connect(file, uri=True)
        with contextlib.closing(connection):
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM django_migrations")
            return cursor.fetchone()[0]
    return 0


KILLED_BEFORE_THE_RECORD = """
import os, signal
from django.db.migrations.recorder import MigrationRecorder
from server.core.db.migrating import migrate
record = MigrationRecorder.record_applied
def killed(self, app, name):
    if app == "{app}":
        os.kill(os.getpid(), signal.SIGKILL)
    record(self, app, name)
MigrationRecorder.record_applied = killed
migrate()
"""


@pytest.mark.parametrize(
    "app",
    [
        pytest.param("axes", marks=pytest.mark.combinations),
        pytest.param("streams", marks=pytest.mark.combinations),
        "learning",
    ],
)
def test_a_migration_is_applied_and_recorded_or_neither(a_server, app):
    with fresh_database("migrating", empty=True) as database:
        server = a_server(database, empty=True)
        killed = server.manage("shell", "-v", "0", "-c", KILLED_BEFORE_THE_RECORD.format(app=app))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        server.start()
        until_told(server, 200, "ready")
        server.stop()


def test_a_start_that_is_killed_while_it_migrates_is_taken_up_by_the_next(a_server):
    with fresh_database("migrating", empty=True) as database:
        server = a_server(database, empty=True)
        reached = 0
        for step in (1, 12, 12):
            server.begin()
            deadline = time.monotonic() + PATIENCE
            while (now := applied(server, database)) < reached + step:
                assert server.process.poll() is None, logged(server)
                assert time.monotonic() < deadline, logged(server)
            server.kill()
            reached = now
        server.start()
        until_told(server, 200, "ready")
        assert logged(server).count("migrating the database") == 4
        assert applied(server, database) > reached  # it was killed before the end each time
        assert server.manage("migrate", "--check").returncode == 0
        prepare(server)
        learn(server, 1)
        server.stop()


@pytest.mark.one_database
def test_a_server_that_is_killed_while_it_writes_a_snapshot_comes_back_as_it_was(a_server, database_server, database):
    server = a_server(database, snapshot_points=10, snapshot_seconds=1).start()
    prepare(server)
    name = database.rpartition("/")[2]
    with contextlib.closing(psycopg2.connect(database)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE learning_snapshot IN SHARE MODE")
        learn(server, 20)
        said = server.post("/api/v1/models/m/predict/", ASKED)[1]
        deadline = time.monotonic() + PATIENCE
        blocked = f"SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{name}'"
        while not any('INTO "learning_snapshot"' in query for (query,) in database_server.do(blocked)):
            assert time.monotonic() < deadline, logged(server)
            threading.Event().wait(0.05)
        server.kill()
        other.rollback()
    assert said["at"] == 20
    server.start()
    assert server.post("/api/v1/models/m/predict/", ASKED)[1] == said
    learn(server, 20)
    done = server.manage("verify_model", "m")
    assert done.returncode == 0, done.stdout + done.stderr
