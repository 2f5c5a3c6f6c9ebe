"""What a server process does to itself: each worker on a CPU of its own."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import psutil
import pytest

from server.runtime import process
from tests.serving import ROOT

pytestmark = pytest.mark.one_database


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU leaves nothing to choose")
@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_each_worker_has_a_cpu_of_its_own(serve, kind):
    server = serve(server=kind, workers=2, threads=2)

    def own():
        return [
            tuple(child.cpu_affinity())
            for child in psutil.Process(server.process.pid).children(recursive=True)
            if len(child.cpu_affinity()) == 1
        ]

    deadline = time.monotonic() + 30  # the second may still be starting when the first answers
    while len(own()) < 2 and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert len(set(own())) == len(own()) == 2


SETTLE = """
import os, signal, sys
from pathlib import Path
from server.runtime import process
settled = []
for directory in sys.argv[1:]:
    reading, writing = os.pipe()
    settled.append(os.fork())
    if settled[-1] == 0:
        process.tune(Path(directory), pin=True, workers=1)
        os.write(writing, " ".join(map(str, os.sched_getaffinity(0))).encode())
        signal.pause()
    print(os.read(reading, 1000).decode())
for number in settled:
    os.kill(number, signal.SIGKILL)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU leaves nothing to choose")
def test_servers_of_one_machine_spread_over_its_cpus(tmp_path):
    cpus = os.sched_getaffinity(0)
    directories = [tmp_path / str(number) for number in range(2 * len(cpus))]
    for directory in directories:
        directory.mkdir()
    alone = ("unshare", "--map-root-user", "--net")  # no other test's servers are seen from there
    done = subprocess.run(
        [*alone, sys.executable, "-c", SETTLE, *map(str, directories)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Counter(done.stdout.split()) == dict.fromkeys(map(str, cpus), 2)


@pytest.mark.parametrize("settings", [{"pin_workers": "false", "workers": 1}, {"workers": os.cpu_count() + 1}])
def test_it_pins_nothing_where_it_is_told_not_to_or_can_not(serve, settings):
    server = serve(threads=2, **settings)
    everything = os.sched_getaffinity(0)
    for child in psutil.Process(server.process.pid).children(recursive=True):
        assert set(child.cpu_affinity()) == everything


HELD = """
import fcntl, sys
with open(sys.argv[1], "rb+") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("held")
"""


def test_what_it_sets_on_its_sockets_ends_no_lock_on_its_files(tmp_path):
    """SQLite's locks are such; a process that lost them could write while another does."""
    path = tmp_path / "database"
    path.touch()
    with path.open("rb+") as file, socket.create_server(("127.0.0.1", 0)) as listening:
        fcntl.lockf(file, fcntl.LOCK_EX)
        process.drop_dead_clients(7)
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
        done = subprocess.run([sys.executable, "-c", HELD, path], capture_output=True, text=True, check=True)
        assert done.stdout == "held\n"
        with socket.create_connection(listening.getsockname()), contextlib.closing(listening.accept()[0]) as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7


HEARS = """
import os, signal, sys, threading
from server.runtime import process
process.handle_stop_signals()
for number in process.STOP_SIGNALS:
    if sys.argv[1] == "handled":
        signal.signal(number, lambda number, _: heard.append(number) or all_heard.release())
heard, all_heard = [], threading.Semaphore(0)
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, process.STOP_SIGNALS)  # so that no signal wakes the main thread
for number in process.STOP_SIGNALS:
    os.kill(os.getpid(), number)
    all_heard.acquire()
print([int(number) for number in heard])
"""


def test_a_stop_is_heard_whichever_thread_the_kernel_gives_it_to():
    done = subprocess.run(
        [sys.executable, "-c", HEARS, "handled"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"{[int(number) for number in process.STOP_SIGNALS]}\n", done.stderr


def test_a_stop_that_nothing_handles_yet_ends_the_process():
    done = subprocess.run([sys.executable, "-c", HEARS, "unhandled"], cwd=ROOT, timeout=60)
    assert done.returncode == -process.STOP_SIGNALS[0]
