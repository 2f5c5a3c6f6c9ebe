"""Fixtures that several tests of jobs share."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lammps_jobs.here import Here
from tests.lammps_jobs.peer import Peer
from tests.serving import Server


@pytest.fixture(scope="module")
def sweep_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("sweep") / "var").start()
    yield server
    server.kill()


@pytest.fixture
def here(tmp_path: Path, sweep_server: Server, request: pytest.FixtureRequest) -> Here:
    """An empty directory for sweeps, and a stream that is named after the test."""
    place = Here(tmp_path / "here", sweep_server, re.sub(r"\W+", "-", request.node.name)[:60].strip("-"))
    place.path.mkdir()
    return place


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()
