"""What a process says of the calls it is in, and what its supervisor reads."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server.learning.budgets import call_marks
from server.learning.budgets.call_marks import LEARN, PREDICT, Marks
from server.learning.budgets.cpu_usage import budget_share
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

CHILD = """
import os, sys, threading
from pathlib import Path
from server.learning.budgets import call_marks
call_marks.Supervisor.pid = os.getppid()
call_marks.begin(Path(sys.argv[1]))
with call_marks.mark_call(7, call_marks.LEARN, 41):
    print(threading.get_native_id(), flush=True)
    sys.stdin.readline()
print("out", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    yield process
    process.kill()
    process.communicate()


def marks_in(directory: Path) -> Marks:
    (path,) = directory.glob("*.calls")
    return Marks(path)


def test_the_supervisor_sees_which_call_of_which_model_a_thread_is_in(child, tmp_path):
    thread = int(child.stdout.readline())
    marks = marks_in(tmp_path)
    (mark,) = marks.running()
    assert (marks.pid, mark.model_id, mark.kind, mark.seq, mark.thread) == (child.pid, 7, LEARN, 41, thread)
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "out\n"
    assert marks.running() == []


def test_the_mark_of_a_process_that_was_killed_stays(child, tmp_path):
    child.stdout.readline()
    marks = marks_in(tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert [(mark.model_id, mark.seq) for mark in marks.running()] == [(7, 41)]


def test_a_process_is_told_of_verdicts_and_keeps_no_file_where_nobody_watches(tmp_path):
    call_marks.begin(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert call_marks.verdict_count() == 0


def test_two_calls_of_the_same_kind_that_follow_each_other_differ():
    words = call_marks.local.words
    seen = []
    for _ in range(2):
        with call_marks.mark_call(3, PREDICT):
            seen.append(words[call_marks.CODE])
    assert seen[0] != seen[1]
    assert words[call_marks.CODE] == 0


def test_each_thread_has_a_row_of_its_own_and_gives_it_back():
    rows, together = [], threading.Barrier(3)

    def mark():
        with call_marks.mark_call(1, LEARN):
            together.wait(10)
            rows.append(call_marks.local._row.number)

    for _ in range(2):
        threads = [threading.Thread(target=mark) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(rows[:3])) == 3
    assert set(rows[3:]) == set(rows[:3])


@pytest.mark.parametrize(
    ("seconds", "used", "others", "is_spent"),
    [
        (2.1, 2.1, 0.0, True),  # it computes
        (2.1, 1.1, 0.0, True),  # on a busy machine
        (2.1, 0.9, 0.0, False),  # it waits
        (2.1, 1.1, 1.0, False),  # it shares the interpreter with others of its process
        (4.2, 2.1, 2.1, True),
        (30.0, 0.1, 25.0, False),
        (10.1, 0.0, 0.0, True),  # it hangs
    ],
)
def test_a_budget_is_spent_by_what_computes_and_not_by_what_waits_for_others(seconds, used, others, is_spent):
    assert (budget_share(2.0, seconds, used, others) > 1) is is_spent
