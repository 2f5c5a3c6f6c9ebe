"""Fixtures: a clean process state, real servers, reference data where it is at hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.learning.replicaset import SETS
from tests.serving import ROOT, Server, fresh_database


@pytest.fixture(autouse=True)
def _no_replicas_of_another_test() -> Iterator[None]:
    SETS.clear()
    yield
    SETS.clear()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a real server on an empty database; keyword arguments are settings. Stopped at the end."""
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
                    server.stop()


@pytest.fixture(params=["gunicorn", "granian"])
def server(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Server:
    """A real server with two workers, once with each WSGI server."""
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
