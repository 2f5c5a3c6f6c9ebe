"""A spool delivers each observation exactly once, in order, to a real server, whoever flushes it and however often."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tailrace.errors import Refused, Unreachable
from tailrace.server import Server
from tailrace.spool import Spool

from tests.client.listeners import answer, listening, replies
from tests.client.test_posting import command
from tests.serving import ROOT

STREAM = "/api/v1/streams/s/observations/"


@pytest.fixture
def served(serve):
    server = serve(workers=2, threads=4)
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    return server


def fill(spool, numbers):
    for n in numbers:
        spool.put("s", {"x": {"a": n}, "y": float(n), "key": f"k{n}"})


def logged(server):
    status, content = server.get(STREAM, Accept="application/x-ndjson")
    assert status == 200
    return [json.loads(line)["y"] for line in content.splitlines()]


def test_it_is_delivered_in_order_and_once(served, tmp_path):
    spool = Spool(tmp_path)
    fill(spool, range(1100))
    deliveries = list(spool.flush(Server(served.url), deadline=60))
    assert len(deliveries) == 1100
    assert spool.waiting() == []
    assert logged(served) == [float(n) for n in range(1100)]
    assert list(spool.flush(Server(served.url))) == []


def test_two_flushes_at_once_deliver_each_once(served, tmp_path):
    fill(Spool(tmp_path), range(600))

    def flush(_):
        return len(list(Spool(tmp_path).flush(Server(served.url), deadline=60)))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(flush, range(3)))
    assert sorted(logged(served)) == [float(n) for n in range(600)]
    assert Spool(tmp_path).waiting() == []


def test_one_bad_observation_is_set_aside_and_the_others_are_delivered(served, tmp_path):
    spool = Spool(tmp_path)
    fill(spool, range(40))
    spool.put("s", {"x": {"a": 1}, "y": "slow", "key": "bad"})
    fill(spool, range(40, 80))
    deliveries = list(spool.flush(Server(served.url), deadline=60))
    assert [d for d in deliveries if d.refused] == [d for d in deliveries if d.path.parent.name == "refused"]
    assert logged(served) == [float(n) for n in range(80)]
    assert "slow" in spool.refusal("s", "bad").read_text()


@pytest.mark.parametrize(
    "content", [b"", b'{"stream": "s", "observ', b"[]", b'{"stream": "s", "observation": {"x": {}}}']
)
def test_a_file_cut_short_is_set_aside(served, tmp_path, content):
    spool = Spool(tmp_path)
    fill(spool, [1])
    (tmp_path / "00000000000000000001-cut.json").write_bytes(content)
    deliveries = list(spool.flush(Server(served.url), deadline=60))
    assert [d.refused is None for d in deliveries] == [False, True]
    assert logged(served) == [1.0]
    assert (tmp_path / "refused" / "cut.json").read_bytes() == content


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "503 Service Unavailable"])
def test_what_can_be_put_right_goes_on_waiting(tmp_path, status):
    spool = Spool(tmp_path)
    fill(spool, range(3))
    with listening(replies(answer(status, b"{}"))) as listener, pytest.raises((Refused, Unreachable)):
        list(spool.flush(Server(listener.url), deadline=1))
    assert len(spool.waiting()) == 3


def test_clocks_an_hour_apart_lose_nothing(served, tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    fill(spool, [1])
    monkeypatch.setattr("tailrace.spool.time.time_ns", lambda: 1)
    fill(spool, [2])
    monkeypatch.undo()
    list(spool.flush(Server(served.url), deadline=60))
    assert sorted(logged(served)) == [1.0, 2.0]


KILLED = """
import os, signal, sys
from tailrace import spool
name = sys.argv[2]
real = getattr(os, name)
def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, name, kill)
spool.Spool(sys.argv[1]).put("s", {"x": {"a": 1}, "y": 1.0, "key": "k"})
"""


@pytest.mark.one_database
@pytest.mark.parametrize("instant", ["fsync", "replace"])
def test_a_kill_in_the_middle_of_keeping_leaves_no_half_a_file(tmp_path, instant):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), instant], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert Spool(tmp_path).waiting() == []


def test_a_kill_between_delivery_and_clearing_delivers_no_second_time(served, tmp_path):
    spool = Spool(tmp_path)
    fill(spool, range(5))
    flushing = spool.flush(Server(served.url), deadline=60)
    next(flushing)  # the request is done, one file is gone: here the process dies
    flushing.close()
    assert len(spool.waiting()) == 4
    list(Spool(tmp_path).flush(Server(served.url), deadline=60))
    assert logged(served) == [float(n) for n in range(5)]


def test_the_command_tells_what_it_did(served, tmp_path):
    fill(Spool(tmp_path), range(3))
    done = command("flush", "--spool", str(tmp_path), "--url", served.url, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"delivered": 3, "refused": 0, "waiting": 0})
    quiet = command("flush", "--spool", str(tmp_path), "--url", served.url, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    fill(Spool(tmp_path), [9])
    away = command("flush", "--spool", str(tmp_path), "--url", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert "1 not delivered" in away.stderr
