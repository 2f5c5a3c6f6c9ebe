"""GET /metrics of real servers: the sum over their processes, exact, over restarts and kills, for those who may read it."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from tailrace.posting.post import post
from tailrace.spool.spool import Spool
from tailrace.transport.server import Server as Client

from tests.operations.scraping import scrape, until
from tests.people import bearer
from tests.serving import ROOT, Server, fresh_database

OBSERVE = "/api/v1/streams/<str:name>/observations/"
REQUESTS = "tailrace_requests_total"
RUNS = "/api/v1/streams/runs/observations/"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one process for tests that mind no other's models."""
    with fresh_database("metrics") as database:
        directory = tmp_path_factory.mktemp("shared")
        server = Server(directory, database, workers=1, threads=4, snapshot_seconds=0.5, metrics_models=3).start()
        yield server
        server.stop()


def make(server: Server, name: str) -> None:
    """A stream and a model of that name."""
    assert server.post("/api/v1/streams/", {"name": name, "target": {"name": "t"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": name, "stream": name, "recipe": "mean"})[0] == 201


@pytest.mark.one_database  # the numbers are in files of the server's directory
@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_it_adds_up_what_all_processes_did_also_those_that_were_killed(serve, kind):
    server = serve(server=kind, workers=2, threads=4)
    make(server, "runs")

    def load(first: int) -> None:
        for number in range(first, first + 10):
            body = {"x": {"a": number}, "y": number, "key": f"k{number // 2}"}  # each key twice
            assert server.post(RUNS, body)[0] == 201
            assert server.post(f"/api/v1/models/runs/predict/?n={number}", {"x": {"a": number}})[0] == 200
            assert server.get(f"/api/v1/models/none-{number}/")[0] == 404
            assert server.get(f"/never/{number}/")[0] == 404

    def check(rounds: int) -> None:
        # No more at once than a busy machine has room for: who is told to try again is counted, too.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(load, range(0, 40, 10)))
        found = until(server, "tailrace_processes", lambda alive: alive == 2)
        assert found.value(REQUESTS, route=OBSERVE, method="POST", status="201") == 40 * rounds
        assert found.value(REQUESTS, route="/api/v1/models/<str:name>/", method="GET", status="404") == 40 * rounds
        assert found.value(REQUESTS, route="(none)", method="GET", status="404") == 40 * rounds
        assert found.value("tailrace_observations_total") == 20
        assert found.value("tailrace_duplicates_total") == 40 * rounds - 20
        assert found.value("tailrace_request_duration_seconds_count", call="learn") == 40 * rounds
        assert found.value("tailrace_request_duration_seconds_count", call="predict") == 40 * rounds
        assert found.value("tailrace_request_duration_seconds_bucket", call="predict", le="+Inf") == 40 * rounds
        assert found.value("tailrace_commit_requests_sum") == 40 * rounds
        assert found.value("tailrace_commit_observations_sum") == 20
        assert found.value("tailrace_stream_observations_total", stream="runs") == 20
        assert found.value("tailrace_model_observations", model="runs", stream="runs") == 20
        assert found.value("tailrace_database_up") == 1
        assert found.value("tailrace_workers") == 2
        assert not any("none-" in labels["route"] or "never" in labels["route"] for labels in found.series(REQUESTS))

    check(1)
    files = {path.name for path in (server.directory / "metrics").iterdir()}
    killed = workers(server)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)  # the server starts others
    until_others_serve(server, killed)
    check(2)
    assert {path.name for path in (server.directory / "metrics").iterdir()} == files


def workers(server: Server) -> set[int]:
    """The processes that have the database's or the metrics' files open: those that serve."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    return {child.pid for child in children if any("/metrics/" in own.path for own in child.open_files())}


def until_others_serve(server: Server, killed: set[int]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error, OSError):
            now = workers(server)
            if len(now) == 2 and not now & killed and server.get("/healthz")[0] == 200:
                return
        threading.Event().wait(0.1)
    raise AssertionError(f"no other workers came:\n{server.log.read_text()[-2000:]}")


def test_labels_are_few_whatever_is_sent(shared):
    for method in ("GET", "POST", "BREW", "X" * 19, "PROPFIND"):
        for path in ("/metrics", "/api/", "/api/v1/models/%F0%9F%98%80/", "/%00", "/" + "a" * 3000):
            shared.request(method, path)
    series = scrape(shared).series(REQUESTS)
    assert {"other", "GET"} <= {labels["method"] for labels in series} <= {"GET", "POST", "other"}
    assert len({labels["route"] for labels in series}) <= 10


def test_what_clients_deliver_late_is_counted(shared):
    body = {"observations": [{"x": {"a": 1}, "y": 1.0}, {"x": {"a": 2}, "y": 2.0}]}
    path = "/api/v1/streams/late/observations/"
    assert shared.post(path, body, **{"X-Tailrace-Spooled": "7200"})[0] == 201
    for nonsense in ("", "-1", "1e3", "\xb2", "9" * 11, "a day"):
        assert shared.post(path, body, **{"X-Tailrace-Spooled": nonsense})[0] == 201
    assert shared.post(path, {"x": 1}, **{"X-Tailrace-Spooled": "5"})[0] == 400
    found = scrape(shared)
    assert found.value("tailrace_spooled_observations_total") == 2
    assert found.value("tailrace_spool_delay_seconds_sum") == 7200
    assert found.value("tailrace_spool_delay_seconds_bucket", le="21600.0") == 1
    assert found.value("tailrace_spool_delay_seconds_bucket", le="3600.0") == 0


def test_the_client_says_what_it_had_to_keep(shared, tmp_path):
    before = scrape(shared).value("tailrace_spooled_observations_total")
    spool = Spool(tmp_path)
    for number in range(3):
        post(
            "kept", {"a": number}, 1.0, key=f"k{number}", server=Client("http://127.0.0.1:9"), spool=spool, deadline=0.1
        )
    for kept in tmp_path.rglob("*"):
        if kept.is_file():
            os.utime(kept, (time.time() - 4000,) * 2)
    moved = spool.flush(Client(shared.url), moved=["http://127.0.0.1:9"])
    assert [one.refused for one in moved] == [None] * 3
    found = scrape(shared)
    assert found.value("tailrace_spooled_observations_total") == before + 3
    assert found.value("tailrace_spool_delay_seconds_sum") >= 4000


def test_it_tells_how_a_model_stands_and_that_it_drifts(shared):
    make(shared, "runs")
    own = {"model": "runs", "stream": "runs"}
    shared.post(RUNS, {"observations": [{"x": {"a": 1}, "y": 100 + number % 7} for number in range(90)]})
    found = until(shared, "tailrace_model_scored", lambda n: n == 89, **own)
    assert found.value("tailrace_model_drift", **own) == 0
    metrics = shared.get("/api/v1/models/runs/metrics/")[1]
    score = {**own, "metric": "RMSE"}
    assert found.value("tailrace_model_score", over="all", **score) == pytest.approx(metrics["metrics"]["RMSE"])
    assert found.value("tailrace_model_score", over="window", **score) == pytest.approx(metrics["rolling"]["RMSE"])
    shared.post(RUNS, {"observations": [{"x": {"a": 1}, "y": 900 + number % 7} for number in range(60)]})
    until(shared, "tailrace_model_drift", lambda drift: drift == 1, **own)
    until(shared, "tailrace_model_snapshot_timestamp_seconds", lambda at: at > 0, **own)
    shared.kill()
    shared.start()  # nobody has asked for the model yet: what is known of it is in the database
    again = scrape(shared)
    assert again.value("tailrace_model_drift", **own) == 1
    assert again.value("tailrace_model_scored", **own) == 149


def test_it_shows_so_many_models_and_no_more(shared):
    for name in ("a", "b", "c", "d"):
        make(shared, name)
    found = scrape(shared)
    assert len(found.series("tailrace_model_observations")) == 3
    assert len(found.series("tailrace_stream_observations_total")) == 3
    assert found.value("tailrace_models", status="ready") >= 4


@pytest.mark.one_database
def test_it_is_read_by_whoever_may_read_everything_under_any_host_name(serve):
    server = serve(workers=1, threads=4, auth="required")
    admin = bearer(server.manage("create_token", "ada", "--create-user", "--role", "admin").stdout.strip())

    def token(**what: list[str]) -> dict[str, str]:
        status, made = server.post("/api/v1/tokens/", {"name": "test", **what}, **admin)
        assert status == 201, made
        return bearer(made["token"])

    assert server.get("/metrics")[0] == 401
    assert server.get("/metrics", **bearer("trc_" + "0" * 64))[0] == 401
    reads = token(scopes=["read"])
    assert server.get("/metrics", Host="10.42.0.7:8080", **reads)[0] == 200
    assert server.get("/metrics", Host="evil.example")[0] == 400
    assert server.get("/api/v1/models/", Host="10.42.0.7:8080", **reads)[0] == 400
    assert server.get("/metrics", **token(scopes=["learn", "predict", "manage"]))[0] == 403
    status, refused = server.get("/metrics", **token(scopes=["read"], streams=["runs"]))
    assert (status, refused["error"]["code"]) == (403, "streams")
    status, refused = server.post("/metrics", {}, **reads)
    assert (status, refused["error"]["code"]) == (405, "method_not_allowed")


@pytest.mark.one_database
def test_open_means_everybody(serve):
    server = serve(server="granian", workers=1, threads=4, auth="required", metrics="open")
    assert server.get("/metrics")[0] == 200
    assert server.get("/api/v1/models/")[0] == 401


@pytest.mark.one_database
def test_off_means_that_there_is_no_such_address_and_nothing_counts_requests():
    look = (
        "import django; django.setup()\n"
        "from django.urls import Resolver404, resolve\n"
        "from django.core.exceptions import MiddlewareNotUsed\n"
        "from server.operations.request_metrics import Counting\n"
        "for gone, what in ((Resolver404, lambda: resolve('/metrics')), (MiddlewareNotUsed, lambda: Counting(None))):\n"
        "    try: what()\n"
        "    except gone: print('gone')\n"
    )
    environment = {**os.environ, "TAILRACE_METRICS": "off", "DJANGO_SETTINGS_MODULE": "server.settings"}
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["gone", "gone"], done.stderr
