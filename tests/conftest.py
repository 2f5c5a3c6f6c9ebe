"""Fixtures: a clean process state, real servers, reference data where it is at hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations as PostgresqlOperations
from django.db.backends.sqlite3.base import DatabaseOperations
from django.test import Client

from server.learning.background import maintenance
from server.learning.fold.replica_set import SETS
from server.learning.quota_counts import PREDICTIONS
from server.tracking.run_quotas import POINTS
from tests.api_client import Api
from tests.pristine import restored_after_tests
from tests.serving import ROOT, Server, fresh_database


@pytest.fixture(autouse=True)
def _no_replicas_of_another_test() -> Iterator[None]:
    SETS.clear()
    PREDICTIONS.forget()
    POINTS.forget()
    yield
    SETS.clear()


@pytest.fixture(autouse=True, scope="session")
def _the_audit_trail_can_be_emptied_between_tests() -> Iterator[None]:
    """SQLite's flush deletes row by row and PostgreSQL's truncates: the trail's triggers refuse both."""
    flush = DatabaseOperations.execute_sql_flush
    truncate = PostgresqlOperations.execute_sql_flush

    def without_triggers(self: DatabaseOperations, statements: list[str]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            drop = [f'DROP TRIGGER "{name}"' for name, _ in triggers]
        flush(self, [*drop, *statements, *(sql for _, sql in triggers)])

    def without_some(self: PostgresqlOperations, statements: list[str]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT t.tgrelid::regclass::text, t.tgname FROM pg_trigger t WHERE t.tgname LIKE '%%\\_truncate'"
            )
            triggers = [f"ALTER TABLE {table} {{}} TRIGGER {name}" for table, name in cursor.fetchall()]
        off, on = ([statement.format(word) for statement in triggers] for word in ("DISABLE", "ENABLE"))
        truncate(self, [*off, *statements, *on])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", without_triggers)
        patch.setattr(PostgresqlOperations, "execute_sql_flush", without_some)
        yield


@pytest.fixture(autouse=True, scope="session")
def _a_database_is_restored_rather_than_flushed() -> Iterator[None]:
    with restored_after_tests():
        yield


@pytest.fixture
def required(settings: Any) -> None:
    """Callers must show who they are, as where nothing is set; the tests of everything else run open."""
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"auth": "required"})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a real server on an empty database; keyword arguments are settings. Killed at the end: how one stops has tests."""
    servers: list[Server] = []
    with fresh_database("serve") as database:

        def start(**settings: Any) -> Server:
            server = Server(tmp_path / "var", database, **settings)
            servers.append(server)
            return server.start()

        try:
            yield start
        finally:
            for server in servers:
                if server.process is not None and server.process.poll() is None:
                    server.kill()


@pytest.fixture(params=["gunicorn", pytest.param("granian", marks=pytest.mark.one_database)])
def server(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Server:
    """A real server with two workers, once with each WSGI server.

    On PostgreSQL with gunicorn alone: which of them takes a request plays no part in what the database makes of it.
    """
    return serve(server=request.param, workers=2, threads=8)


@pytest.fixture
def live_server_url(serve: Callable[..., Server]) -> str:
    """The address of a real server."""
    return serve(workers=2, threads=8).url


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real reference data beside the checkout, which is not part of the project."""
    directory = ROOT.parent / "shared" / "data"
    if not directory.is_dir():
        pytest.skip(f"no reference data at {directory}")
    return directory


@pytest.fixture
def api(client: Client) -> Api:
    client.raise_request_exception = False
    return Api(client)


@pytest.fixture
def work() -> Any:
    """Does what the background thread of a server does: backfills and rebuilds."""

    def step() -> None:
        maintenance.work_on_backfills()
        maintenance.rebuild_after_retractions()

    return step
