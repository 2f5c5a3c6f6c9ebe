"""Calls and durations: counted across processes, restarts and full disks."""

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.core import process_files
from server.learning.metrics import call_stats
from tests.serving import ROOT

pytestmark = pytest.mark.one_database  # counted in files of the server's directory

COUNT_IN_A_PROCESS = """
import sys
from pathlib import Path
from server.learning.metrics.call_stats import LEARN, Counter
counter = Counter(Path(sys.argv[1]))
for model_id in range(1, int(sys.argv[2]) + 1):
    counter.count(model_id, LEARN, 1000)
"""


@pytest.fixture
def directory(tmp_path, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path})
    return tmp_path / "stats"


def count_in_a_process(directory, models=3):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", COUNT_IN_A_PROCESS, str(directory), str(models)]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)


def learned(model_id):
    return call_stats.read(model_id)["learn"]["n_calls"]


def test_a_new_process_goes_on_in_the_file_of_one_that_is_gone(directory):
    for _ in range(3):
        count_in_a_process(directory)
    assert len(list(directory.iterdir())) == 1
    assert [learned(model_id) for model_id in (1, 2, 3, 4)] == [3, 3, 3, 0]


def test_two_processes_at_a_time_have_a_file_each(directory):
    counter = call_stats.Counter(directory)
    counter.count(1, call_stats.LEARN, 1000)
    count_in_a_process(directory)
    counter.count(1, call_stats.LEARN, 1000)
    assert len(list(directory.iterdir())) == 2
    assert (learned(1), learned(2)) == (3, 1)


def at_once(work, threads=8):
    """What each of some threads comes to, that begin together."""
    together = threading.Barrier(threads)

    def begin(_):
        together.wait(60)
        return work()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def test_the_first_calls_of_a_process_are_counted_whichever_threads_make_them(tmp_path, settings, monkeypatch):
    for n in range(20):
        settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path / str(n)})
        monkeypatch.setattr(call_stats, "_counter", None)
        at_once(lambda: call_stats.learned(1, 1000))
        assert learned(1) == 8
        assert len(list(call_stats.directory().iterdir())) == 1


def test_a_new_file_that_another_process_locked_first_is_left_to_it(tmp_path, monkeypatch):
    """Whoever looks for a file left behind sees a new one before its maker has locked it."""
    names = iter([b"the same", b"the same", b"of its own"])
    monkeypatch.setattr(process_files.os, "urandom", lambda size: next(names))
    with process_files.claim_file(tmp_path, "stats") as others, process_files.claim_file(tmp_path, "stats") as own:
        assert own.name != others.name


def test_it_counts_more_models_than_a_file_was_made_for(directory):
    count_in_a_process(directory, call_stats.ROWS + 2)
    count_in_a_process(directory, call_stats.ROWS + 2)
    assert [learned(model_id) for model_id in (1, call_stats.ROWS, call_stats.ROWS + 1, call_stats.ROWS + 2)] == [2] * 4


def test_a_full_disk_stops_counting_and_nothing_else(directory, monkeypatch):
    """Without room reserved, writing to the mapped file would kill the process (SIGBUS)."""

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    counter = call_stats.Counter(directory)
    for model_id in range(1, call_stats.ROWS + 3):
        counter.count(model_id, call_stats.LEARN, 1000)
    assert learned(1) == 0
