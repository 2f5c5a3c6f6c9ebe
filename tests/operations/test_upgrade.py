"""The previous release's data, as its own server left it on either database (``tests/fixtures/previous``), under this one."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from server.accounts.models import Access
from tests.operations.conftest import place
from tests.serving import ROOT, Server

pytestmark = pytest.mark.database

HERE = ROOT / "tests" / "fixtures" / "previous"
PROBES = [{"x": x, "y": y, "z": z} for x, y, z in ((2, 3, 4), (8, 8, 8), (20, 1, 7))]
ON_POSTGRESQL = os.environ.get("TAILRACE_TEST_ON") == "postgresql"


def answers() -> dict[str, Any]:
    """What the previous release answered."""
    return json.loads((HERE / f"answers{'-postgresql' if ON_POSTGRESQL else ''}.json").read_text())


NAMES = """
import json
from django.contrib.auth.models import Permission
own = Permission.objects.filter(content_type__app_label="accounts", content_type__model="access")
print(json.dumps(dict(own.values_list("codename", "name"))))
"""


def install(server: Server) -> None:
    """Put the previous release's database where this server's is."""
    if not ON_POSTGRESQL:
        content = gzip.decompress((HERE / "tailrace.sqlite3.gz").read_bytes())
        (server.directory / "tailrace.sqlite3").write_bytes(content)
        return
    connection = psycopg2.connect(server.environment["TAILRACE_DATABASE_URL"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(gzip.decompress((HERE / "postgresql.sql.gz").read_bytes()).decode())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def previous(kind, tmp_path_factory) -> Iterator[tuple[Server, Path]]:
    """A server on the previous release's database, and a backup of that from before it was brought up to date."""
    directory = tmp_path_factory.mktemp("previous")
    with place(directory / "var", kind) as server:
        install(server)
        backup = directory / "before-1.gz"
        done = server.manage("backup", str(backup))
        assert done.returncode == 0, done.stderr
        yield server.start(), backup


def check(server: Server) -> None:
    """What the previous release answered is what this one answers, bit for bit; what is new may stand beside it."""
    expected = answers()
    headers = {"Authorization": f"Bearer {expected['token']}"}

    def call(path: str, body: Any = None) -> Any:
        method = "GET" if body is None else "POST"
        status, found = server.request(method, f"/api/v1/{path}", body, headers)
        assert status == 200, found
        return found

    assert len(expected["predictions"]) == 6
    for name, predicted in expected["predictions"].items():
        assert call(f"models/{name}/predict/", {"xs": PROBES}) == predicted
    for name, metrics in expected["metrics"].items():
        assert call(f"models/{name}/metrics/") == metrics
    for name, stream in expected["streams"].items():
        found = call(f"streams/{name}/")
        assert {field: found[field] for field in stream} == stream
        assert call(f"streams/{name}/observations/?after=297")["observations"] == expected["observations"][name]
    proved = server.manage("verify_model", "--all")
    assert proved.returncode == 0, proved.stdout
    assert proved.stdout.count("equal bit for bit") == 6
    assert server.manage("verify_audit").returncode == 0
    names = json.loads(server.manage("shell", "-v", "0", "-c", NAMES).stdout)
    assert names == dict(Access._meta.permissions)


def test_the_previous_releases_data_is_brought_up_to_date_and_answers_as_it_did(previous):
    check(previous[0])


def test_it_goes_on_with_what_waited_in_it(previous):
    server, _ = previous
    headers = {"Authorization": f"Bearer {answers()['token']}"}
    assert server.post("/api/v1/predictions/waits/label/", {"y": 2.5}, **headers)[1]["first"] == 303
    point = {"x": PROBES[2], "y": 3.25, "key": "last"}
    assert server.post("/api/v1/streams/runs/observations/", point, **headers)[1]["duplicates"] == 1


def test_a_backup_from_before_an_upgrade_is_restored_and_brought_up_to_date(previous, kind, tmp_path):
    _, backup = previous
    with place(tmp_path / "var", kind) as server:
        done = server.manage("restore", str(backup))
        assert done.returncode == 0, done.stderr
        check(server.start())
        assert server.manage("migrate", "--check").returncode == 0


@pytest.mark.one_database
def test_what_is_kept_of_the_previous_release_is_small():
    assert sum(path.stat().st_size for path in HERE.iterdir()) < 200_000
