"""A clock that is set back while a server runs: what was acknowledged stays, and the log goes on in one order."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.telling import told
from tests.serving import fresh_database

pytestmark = pytest.mark.database

STREAM = "/api/v1/streams/s/observations/"
DAY = 24 * 3600


@pytest.fixture
def clock(tmp_path):
    """The file that says by how many seconds the server's clock is wrong, and what it has to be started with."""
    compiler = shutil.which("cc")
    if compiler is None and not os.environ.get("CI"):
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    library, file = tmp_path / "clock.so", tmp_path / "clock"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, Path(__file__).with_name("clock.c")], check=True)
    file.write_text("0")
    return file, {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}


def test_a_clock_that_is_set_back_takes_nothing_back(a_server, clock):
    file, environment = clock
    with fresh_database("clock") as database:
        server = a_server(database, snapshot_seconds=1, snapshot_points=3)
        server.environment |= environment
        server.start()
        assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
        assert server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})[0] == 201
        kept = server.post("/api/v1/models/m/predict/", {"x": {"a": 1.0}, "identifier": "late"})
        assert kept[0] == 200, kept
        for n in range(12):
            if n == 6:
                file.write_text(str(-2 * DAY))
            assert server.post(STREAM, {"x": {"a": float(n)}, "y": 2.0 * n, "key": f"k{n}"})[1]["first"] == n + 1
        log = [json.loads(line) for line in server.get(STREAM, Accept="application/x-ndjson")[1].splitlines()]
        assert [o["seq"] for o in log] == list(range(1, 13))
        assert log[6]["at"] < log[5]["at"]  # so it was set back
        assert server.post(STREAM, {"x": {"a": 0.0}, "y": 0.0, "key": "k0"})[1]["duplicates"] == 1
        assert server.post("/api/v1/predictions/late/label/", {"y": 2.0})[0] == 200
        assert server.post("/api/v1/models/", {"name": "later", "stream": "s", "recipe": "mean"})[0] == 201
        assert [told(server, path) for path in ("/healthz", "/readyz")] == [(200, "ok"), (200, "ready")]
        assert server.get("/api/v1/models/m/metrics/")[1]["at"] == 13
        server.kill()
        server.start()
        assert server.get("/api/v1/models/m/metrics/")[1]["at"] == 13
        for command in (["verify_model", "m"], ["verify_audit"]):
            done = server.manage(*command)
            assert done.returncode == 0, done.stdout + done.stderr
