"""`kill -9` in the middle of a post, at every instant that matters: the observation is in the log once, or was never begun."""

import json
import signal
import subprocess

import pytest
from tailrace.spool.spool import Spool
from tailrace.transport.server import Server

from tests import serving
from tests.client.listeners import listening, silent
from tests.client.running import NOBODY, PYTHON, environment, logged

pytestmark = pytest.mark.one_database  # it is the client that is killed

# Kills itself when the nth thing happens that others can see: a file or a socket is touched.
KILLED_AT = """
import os, signal, sys
left = int(sys.argv.pop(1))
def seen(event, arguments):
    global left
    if event in EVENTS and not (event == "open" and not (arguments[2] or 0) & os.O_CREAT):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.chmod", "socket.connect", "socket.__new__"}
from tailrace.cli import main
sys.addaudithook(seen)
sys.exit(main())
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving.fresh_database("kill") as database:
        server = serving.Server(tmp_path_factory.mktemp("kill") / "var", database, workers=1, threads=4).start()
        try:
            yield server
        finally:
            server.stop()


def posting(url, spool, key, *before):
    given = ["post", "s", "x=8", "--y", "1", "--key", key, "--url", url, "--spool", str(spool)]
    start = ["-c", KILLED_AT, *before] if before else ["-m", "tailrace"]
    return [PYTHON, *start, *given]


@pytest.mark.parametrize("away", [False, True], ids=["server there", "server away"])
def test_killed_at_any_instant_it_is_in_the_log_once_after_the_next_flush(served, tmp_path, away):
    url = NOBODY if away else served.url
    killed = []
    while not killed or killed[-1] == -signal.SIGKILL:
        n = len(killed)
        command = posting(url, tmp_path / str(n), f"{away}-{n}", str(n))
        killed.append(subprocess.run(command, env=environment(), capture_output=True, timeout=60).returncode)
    assert killed[-1] == 0  # one instant more than there are: it ends by itself
    for n in range(len(killed)):
        list(Spool(tmp_path / str(n)).flush(Server(served.url), deadline=60, moved=[NOBODY]))
        assert [path.name for path in tmp_path.glob(f"{n}/*")] == []
    keys = [one["key"] for one in logged(served)]
    counts = [keys.count(f"{away}-{n}") for n in range(len(killed))]
    # Killed before the first byte of it was on disk, nobody can know of it; from then on it is there, once.
    assert counts == sorted(counts)
    assert set(counts) == {0, 1}
    assert sum(counts) >= len(counts) // 2


def test_killed_while_it_waits_for_the_answer_it_is_delivered_once(served, tmp_path):
    """First by a server that heard it and never answered, then by the next flush."""
    with listening(silent) as listener:
        post = subprocess.Popen(posting(listener.url, tmp_path, "heard"), env=environment())
        assert listener.heard.wait(30)
        post.kill()
        post.wait()
        body = json.loads(listener.requests[0].partition(b"\r\n\r\n")[2])
    # It had arrived, and the answer was lost on the way.
    assert served.post("/api/v1/streams/s/observations/", body)[0] == 201
    assert len(list(Spool(tmp_path).flush(Server(served.url), deadline=60, moved=[listener.url]))) == 1
    assert [one["key"] for one in logged(served)].count(body["key"]) == 1
    assert list(tmp_path.iterdir()) == []
