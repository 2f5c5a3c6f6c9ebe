"""A PostgreSQL that tests may do anything to, and servers that are ended whatever becomes of them."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.postgresql import PostgreSQL, postgresql
from tests.serving import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def _own_postgresql() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@pytest.fixture
def database_server(_own_postgresql: PostgreSQL) -> PostgreSQL:
    """It runs, and a test may leave it as it likes."""
    _own_postgresql.restore()
    return _own_postgresql


@pytest.fixture
def empty_database(database_server: PostgreSQL) -> str:
    """The URL of an empty database on it."""
    name = f"fault_{next(_numbers)}"
    database_server.do(f"CREATE DATABASE {name}")
    return database_server.url(name)


@pytest.fixture(scope="session")
def _tables(_own_postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with tables, which others are made from: a server takes seconds of CPU to make them."""
    _own_postgresql.restore()
    _own_postgresql.do("CREATE DATABASE tables")
    server = Server(tmp_path_factory.mktemp("tables"), _own_postgresql.url("tables"))
    done = server.manage("migrate", "-v", "0")
    assert done.returncode == 0, done.stderr
    return "tables"


@pytest.fixture
def database(database_server: PostgreSQL, _tables: str) -> str:
    """The URL of a database on it that has its tables already."""
    name = f"fault_{next(_numbers)}"
    database_server.do(f"CREATE DATABASE {name} TEMPLATE {_tables}")
    return database_server.url(name)


@pytest.fixture
def a_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that aren't started; whatever still runs of them is killed at the end."""
    servers: list[Server] = []

    def make(database: str = "", directory: str = "var", **settings: Any) -> Server:
        servers.append(Server(tmp_path / directory, database, **{"workers": 1, "threads": 4, **settings}))
        return servers[-1]

    yield make
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.kill()
