"""Servers that are all started at once on one new database: its tables are made once, and all of them come up."""

import threading
import time
from pathlib import Path

import psycopg2
import pytest

from tests.serving import PATIENCE, Server, fresh_database

REPLICAS = 10
READY = "Tailrace serves on"
MIGRATES = "migrating the database"


@pytest.mark.postgresql
def test_ten_replicas_that_start_at_once_migrate_once(tmp_path: Path):
    """Each has a directory of its own, as pods have: nothing but the database tells them of each other."""
    with fresh_database("at_once", empty=True) as database:
        servers = [Server(tmp_path / str(number), database, workers=1, threads=2) for number in range(REPLICAS)]
        try:
            for server in servers:
                server.begin()
            said = [_until_it_serves(server) for server in servers]
        finally:
            for server in servers:
                server.kill()
        assert sum(MIGRATES in text for text in said) == 1
        assert all("Traceback" not in text for text in said)
        connection = psycopg2.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT app, name, count(*) FROM django_migrations GROUP BY 1, 2 HAVING count(*) > 1")
                assert cursor.fetchall() == []
                cursor.execute("SELECT count(*) FROM django_migrations WHERE app = 'streams'")
                assert cursor.fetchone()[0] >= 2
        finally:
            connection.close()


def _until_it_serves(server: Server) -> str:
    """What it has logged by then."""
    deadline = time.monotonic() + 2 * PATIENCE
    while READY not in (said := server.log.read_text()):
        assert server.process is not None and server.process.poll() is None and time.monotonic() < deadline, said
        threading.Event().wait(0.05)
    return said
