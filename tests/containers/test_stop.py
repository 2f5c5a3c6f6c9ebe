"""A container that is stopped, killed and started again under load: nothing acknowledged is lost, what is in flight is answered."""

from collections.abc import Iterator

import pytest

from tests.containers.podman import Container, volume
from tests.promises import stopping

pytestmark = pytest.mark.one_database


@pytest.fixture
def data() -> Iterator[str]:
    with volume() as name:
        yield name


@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_a_stop_under_load_answers_what_is_in_flight_and_loses_nothing(data: str, kind: str):
    with Container(data, server=kind, workers=2, threads=8) as server:
        stopping.prepare(server)
        code, posters, acknowledged = stopping.stop_under_load(server)
        assert code == 0, server.log()
        stopping.nothing_was_lost(server, posters, acknowledged, answers_all=kind == "gunicorn")


def test_what_was_acknowledged_survives_the_container_that_is_killed(data: str):
    """Under load; then another container goes on with the volume, as after an upgrade."""
    with Container(data, workers=2, threads=8, snapshot_points=50, snapshot_seconds=1) as server:
        stopping.prepare(server)
        with stopping.load(server) as posters:
            server.kill()
    with Container(data, workers=1, threads=8) as server:
        kept = stopping.logged(server)
        assert stopping.acknowledged(posters).items() <= kept.items()
        assert server.request("GET", "/api/v1/models/m/metrics/")[1]["at"] == len(kept)
        done = server.run("manage.py", "verify_model", "m", ok=False)
        assert done.returncode == 0, done.stdout + done.stderr
