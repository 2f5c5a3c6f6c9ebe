"""A start that has to wait says what for, and one that can't be says why; on real processes."""

import socket
import sqlite3
import subprocess
import sys

import psutil
import pytest

from tests.faults.telling import last_words, logged, told, until_logged, until_told
from tests.serving import PATIENCE, ROOT

pytestmark = pytest.mark.one_database  # each brings the database that it is about

STREAM = "/api/v1/streams/s/observations/"


@pytest.fixture
def database(empty_database):
    """What a first start finds."""
    return empty_database


def test_it_waits_for_a_database_that_is_down_and_says_so(a_server, database_server, database):
    database_server.stop()
    server = a_server(database).begin()
    until_told(server, 503, "no_database", "/healthz")
    assert told(server) == (503, "no_database")
    status, data = server.post(STREAM, {"x": {"a": 1}, "y": 1})
    assert (status, data["error"]["code"]) == (503, "unavailable")
    assert database_server.password not in str(server.get("/readyz")[1])
    until_logged(server, "tailrace: the database can't be reached: ")
    assert "waiting for it, up to 60 s more" in logged(server)
    database_server.start()
    until_told(server, 200, "ready")
    assert told(server, "/healthz") == (200, "ok")
    assert server.post(STREAM, {"x": {"a": 1}, "y": 1})[0] == 201
    assert database_server.password not in logged(server)


def test_it_waits_for_a_database_in_recovery(a_server, database_server, database):
    database_server.become_standby()
    server = a_server(database).begin()
    until_told(server, 503, "read_only")
    until_logged(server, "tailrace: the database is in recovery")
    database_server.promote()
    until_told(server, 200, "ready")


@pytest.mark.parametrize("fault", ["down", "read-only"])
def test_it_gives_up_after_a_while_with_the_reason(a_server, database_server, database, fault):
    if fault == "down":
        database_server.stop()
    else:
        name = database.rpartition("/")[2]
        database_server.do(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    said = last_words(a_server(database, database_wait_seconds=0.3).begin())
    assert said.startswith("tailrace: the database ")
    assert {"down": "can't be reached: connection to server", "read-only": "is read-only"}[fault] in said
    assert said.endswith("(waited 0.3 s)")


@pytest.mark.parametrize(
    "wrong, reason",
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"user": "nobody"}, "password authentication failed"),
        ({"name": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_it_does_not_wait_for_what_will_not_change(a_server, database_server, wrong, reason):
    said = last_words(a_server(database_server.url(**wrong), database_wait_seconds=3600).begin())
    assert said.startswith("tailrace: the database can't be reached: ")
    assert reason in said
    assert "check TAILRACE_DATABASE_URL" in said


def test_it_refuses_the_tables_of_a_newer_version(a_server):
    server = a_server()
    server.start().stop()
    with sqlite3.connect(server.directory / "tailrace.sqlite3") as own:
        own.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('streams', '9999_later', '2030-01-01')")
    said = last_words(server.begin())
    assert "schema is newer than this version (unknown: streams.9999_later)" in said
    assert "run the version that migrated it" in said


def test_a_second_server_on_one_sqlite_database_refuses_and_takes_over_from_one_that_was_killed(a_server):
    first = a_server().start()
    assert first.post(STREAM, {"x": {"a": 1}, "y": 1, "key": "one"})[0] == 201
    database = f"sqlite:///{first.directory / 'tailrace.sqlite3'}"
    second = a_server(database, "elsewhere", database_wait_seconds=0.5)
    said = last_words(second.begin())
    assert f"another server (process {first.process.pid} on " in said
    assert "run one replica, or set TAILRACE_DATABASE_URL to a PostgreSQL database" in said
    assert first.get("/readyz") == (200, {"status": "ready"})
    assert first.manage("migrate", "--check").returncode == 0  # commands go on beside it
    heir = a_server(database, "elsewhere").begin()
    until_told(heir, 503, "starting")
    first.kill()
    until_told(heir, 200, "ready")
    assert heir.post(STREAM, {"x": {"a": 1}, "y": 1, "key": "one"})[1]["duplicates"] == 1


def test_the_workers_of_a_server_that_was_killed_are_waited_for(a_server):
    server = a_server().start()
    (worker,) = psutil.Process(server.process.pid).children()
    worker.suspend()
    server.process.kill()
    server.process.wait()
    server.begin()
    until_logged(server, "waiting up to 60 s for it to stop")
    worker.resume()
    worker.wait(PATIENCE)
    until_told(server, 200, "ready")


READ_ONLY = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
NO_ROOM = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'


@pytest.mark.parametrize(
    "volume, reason",
    [
        (READ_ONLY, "Read-only file system; set TAILRACE_VAR_DIR to a directory that can be written"),
        (NO_ROOM, "database or disk is full"),
    ],
)
def test_a_volume_without_rights_or_room_stops_the_start(a_server, volume, reason):
    server = a_server()
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", volume, str(server.directory)]
    done = subprocess.run(
        [*command, sys.executable, "-m", "server"], cwd=ROOT, env=server.environment, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tailrace: ")
    assert reason in last


@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_an_address_that_another_program_has_is_one_line(a_server, kind):
    server = a_server("", server=kind)
    with socket.create_server(("127.0.0.1", server.port)):
        said = last_words(server.begin())
    assert said == (
        f"tailrace: another program listens on 127.0.0.1:{server.port}: stop it, or use another port, such as "
        f"TAILRACE_BIND=127.0.0.1:{server.port + 1}"
    )
    assert "Tailrace serves on" not in logged(server)


@pytest.mark.both_servers
@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_it_says_that_it_serves_once_it_does(a_server, kind):
    server = a_server("", server=kind)
    with subprocess.Popen(
        [sys.executable, "-m", "server"], cwd=ROOT, env=server.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert any("Tailrace serves on" in line for line in process.stdout)
            socket.create_connection(("127.0.0.1", server.port), PATIENCE).close()
        finally:
            process.terminate()
            process.stdout.read()


def test_an_address_that_a_server_leaves_as_it_stops_is_waited_for(a_server):
    server = a_server("", empty=True)
    with socket.create_server(("127.0.0.1", server.port)):
        server.begin()
        until_logged(server, "migrating the database")
    until_told(server, 200, "ready")


def test_an_address_that_is_not_this_machines_is_one_line(a_server, tmp_path):
    key = tmp_path / "key"
    key.write_text("k" * 50)
    server = a_server("", bind="192.0.2.1:8080", auth="required", secret_key_file=key, allowed_hosts="tailrace.example")
    assert "tailrace: can't listen on 192.0.2.1:8080: Cannot assign requested address; check TAILRACE_BIND" in (
        last_words(server.begin())
    )


@pytest.mark.parametrize(
    "command",
    [
        ("migrate", "--check"),
        ("verify_log",),
        pytest.param(("list_tokens",), marks=pytest.mark.combinations),
        pytest.param(("backup", "somewhere"), marks=pytest.mark.combinations),
    ],
)
def test_commands_say_in_one_line_that_the_database_is_away(a_server, command):
    done = a_server("postgresql://ada:a-password@127.0.0.1:9/tailrace").manage(*command)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "connection to server at" in line
    assert "a-password" not in line
