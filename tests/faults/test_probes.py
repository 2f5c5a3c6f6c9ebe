"""Probes tell what is wrong, with real servers and a real PostgreSQL; and nothing that was acknowledged is lost meanwhile."""

import ast
import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import dill
import psutil
import psycopg2
import pytest

from server.core.db import locks
from tests.faults.endless import Endless
from tests.faults.telling import logged, told, until_logged, until_told
from tests.serving import PATIENCE, ROOT

pytestmark = pytest.mark.one_database  # each brings the database that it is about

STREAM = "/api/v1/streams/s/observations/"
POINT = {"x": {"a": 1.0}}
BOTH = pytest.mark.parametrize("kind", ["gunicorn", "granian"])


def prepare(server):
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "mean"})[0] == 201


def post(server, key):
    return server.post(STREAM, {**POINT, "y": 2.0, "key": key})[0]


def keys(server):
    status, content = server.get(STREAM, Accept="application/x-ndjson")
    assert status == 200
    return [json.loads(line)["key"] for line in content.splitlines()]


@BOTH
def test_a_database_that_is_down_makes_it_unready_and_no_more(a_server, database_server, database, kind):
    server = a_server(database, server=kind).start()
    prepare(server)
    until_told(server, 200, "ready")
    assert post(server, "before") == 201
    database_server.stop()
    until_told(server, 503, "no_database")
    assert told(server, "/healthz") == (200, "ok")
    assert post(server, "meanwhile") == 503
    assert database_server.password not in str(server.get("/readyz")[1])
    assert "not ready, no_database: the database can't be reached or doesn't respond (" in logged(server)
    database_server.start()
    until_told(server, 200, "ready")
    assert post(server, "meanwhile") == 201
    assert keys(server) == ["before", "meanwhile"]


def test_a_standby_makes_it_unready_though_it_still_predicts(a_server, database_server, database):
    server = a_server(database).start()
    prepare(server)
    assert post(server, "before") == 201
    database_server.become_standby()
    until_told(server, 503, "read_only")
    assert told(server, "/healthz") == (200, "ok")
    assert server.post("/api/v1/models/m/predict/", POINT) == (200, {"at": 1, "prediction": 2.0})
    assert post(server, "meanwhile") == 503
    database_server.promote()
    until_told(server, 200, "ready")
    assert post(server, "meanwhile") == 201
    assert keys(server) == ["before", "meanwhile"]


def test_it_tells_an_older_schema_from_a_newer_one(a_server, database_server, database):
    server = a_server(database).start()
    name = database.rpartition("/")[2]
    later = "('streams', '9999_later', now())"
    database_server.do(f"INSERT INTO django_migrations (app, name, applied) VALUES {later}", name)
    until_told(server, 200, "newer_schema")
    assert "unknown: streams.9999_later" in server.get("/readyz")[1]["reason"]
    database_server.do("DELETE FROM django_migrations WHERE app = 'streams' AND name > '0001_initial'", name)
    until_told(server, 503, "older_schema")
    assert "older than this version (streams.0002_descriptor" in server.get("/readyz")[1]["reason"]
    assert told(server, "/healthz") == (200, "ok")


def test_a_database_that_hangs_keeps_no_probe_waiting_and_is_not_taken_for_a_bug(a_server, database_server, database):
    # No request gives up on a new connection before the probes were asked, however slow this machine is.
    server = a_server(f"{database}?connect_timeout=60", threads=2, stuck_seconds=2).start()
    prepare(server)
    assert post(server, "before") == 201
    workers = psutil.Process(server.process.pid).children()
    database_server.freeze()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(post, server, f"meanwhile {n}") for n in range(4)]  # more than it has threads
        for _ in range(4):  # each waits as long as a probe does, all together for longer than what counts as stuck
            assert told(server) == (503, "no_database")
            assert told(server, "/healthz") == (200, "ok")
        assert not any(request.done() for request in waiting)
        database_server.thaw()
        assert [request.result(PATIENCE) for request in waiting] == [201] * 4
    until_told(server, 200, "ready")
    assert psutil.Process(server.process.pid).children() == workers
    assert sorted(keys(server)) == ["before", *(f"meanwhile {n}" for n in range(4))]


def test_a_stream_that_another_server_never_lets_go_of_is_refused_in_time(a_server, database_server, database):
    server = a_server(f"{database}?options=-c%20lock_timeout%3D300ms").start()
    prepare(server)
    with contextlib.closing(psycopg2.connect(database)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, id::int) FROM streams_stream", (locks.ADVISORY_SPACE,))
        status, data = server.post(STREAM, {**POINT, "y": 2.0, "key": "refused"})
        assert status == 503
        assert "lock timeout" in data["error"]["message"]
        assert [told(server, path) for path in ("/healthz", "/readyz")] == [(200, "ok"), (200, "ready")]
        other.rollback()
    assert post(server, "afterwards") == 201
    assert keys(server) == ["afterwards"]


def test_neither_side_waits_for_ever_for_the_other(a_server, database_server, database):
    server = a_server(database)
    names = [f"tcp_{name}" for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")]
    script = (
        "from django.db import connection as c; k = c.cursor(); "
        f"print([k.execute('SHOW ' + n) or k.fetchone()[0] for n in {[*names, 'lock_timeout']}]); print(c.connection.get_dsn_parameters())"
    )
    done = server.manage("shell", "-v", "0", "-c", script)
    shown, ours = map(ast.literal_eval, done.stdout.splitlines())
    assert shown == ["10", "5", "3", "20000", "1min"], done.stderr
    wanted = {"connect_timeout": "5", "keepalives_idle": "10", "tcp_user_timeout": "20000"}
    assert wanted.items() <= ours.items()


@BOTH
def test_a_process_that_is_stuck_says_so_and_is_replaced(a_server, kind):
    server = a_server(server=kind, stuck_seconds=2, trusted_modules="tests.faults.endless").start()
    prepare(server)
    assert server.request("POST", "/api/model/custom/endless/", dill.dumps(Endless()))[0] == 201
    assert post(server, "before") == 201

    def never_answered():
        with contextlib.suppress(OSError, http.client.HTTPException):
            server.post("/api/v1/streams/endless/observations/", {"x": {"endless": True}, "y": 1.0})

    asking = threading.Thread(target=never_answered)
    asking.start()
    until_told(server, 503, "stuck", "/healthz")
    assert told(server) == (503, "stuck")
    assert "haven't moved for more than 2 s" in server.get("/healthz")[1]["reason"]
    until_logged(server, "CRITICAL server.operations.liveness stuck: the models of stream")
    assert "in learn_one\n    threading.Event().wait()" in logged(server)
    until_told(server, 200, "ok", "/healthz")
    asking.join(PATIENCE)
    assert not asking.is_alive()
    assert post(server, "afterwards") == 201
    assert keys(server) == ["before", "afterwards"]
    assert server.get("/api/v1/streams/endless/")[1]["head"] == 0


def test_a_volume_that_became_read_only_is_told(tmp_path):
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TAILRACE_")}
    environment |= {"TAILRACE_VAR_DIR": str(tmp_path), "TAILRACE_DATABASE_URL": f"sqlite:///{tmp_path / 'ro' / 'db'}"}
    (tmp_path / "ro").mkdir()
    look = "from server.core.db.database_state import check; print(*check())"
    script = (
        f'mount -t tmpfs tmpfs "{tmp_path}/ro" && "{sys.executable}" manage.py migrate -v 0 && '
        f'mount -o remount,ro "{tmp_path}/ro" && exec "{sys.executable}" manage.py shell -v 0 -c "{look}"'
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("read_only the file or the directory of the database is read-only"), done.stderr
