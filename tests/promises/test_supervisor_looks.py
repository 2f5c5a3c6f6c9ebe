"""Which call the supervisor takes for the cause, where it is not the only one: from what the kernel says of threads."""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

from server.config import Config
from server.learning.budgets import cpu_usage
from server.learning.budgets.call_marks import LEARN, Mark, code_of
from server.learning.budgets.cpu_usage import CpuWait, Usage, cpu_waits, usage
from server.runtime import supervisor

pytestmark = pytest.mark.one_database

MB = 2**20


class Process:
    """A worker with two threads in calls, of which a test says what they use."""

    pid = 1

    def __init__(self):
        self.marks = [Mark(row, code_of(10 + row, LEARN), 1, 100 + row, row) for row in (0, 1)]
        self.resident = 200 * MB
        self.threads = {100: Usage(), 101: Usage()}
        self.others = Usage()
        self.waited = {"100": 0.0}

    def running(self):
        return list(self.marks)

    def usage(self, pid, thread=None):
        if thread is not None:
            return self.threads[thread]
        return Usage(*map(sum, zip(self.others, *self.threads.values(), strict=True)))

    def use(self, thread, cpu=0.0, pages=0, system=0.0):
        before = self.threads[thread]
        self.threads[thread] = Usage(before.cpu + cpu, before.system + system, before.pages + pages)

    def next_call(self, row):
        mark = self.marks[row]
        self.marks[row] = mark._replace(code=mark.code + 16, seq=mark.seq + 1)


@pytest.fixture
def process(monkeypatch):
    process = Process()
    monkeypatch.setattr(supervisor, "usage", process.usage)
    monkeypatch.setattr(
        cpu_usage, "cpu_waits", lambda pid: {thread: int(wait * 1e9) for thread, wait in process.waited.items()}
    )
    monkeypatch.setattr(supervisor, "resident_bytes", lambda pid: process.resident)
    return process


@pytest.fixture
def looks(process, monkeypatch, tmp_path):
    """A function that has the supervisor look, and returns the models that it has condemned and how often it ended the worker."""
    killed, condemned = [], []
    monkeypatch.setattr(supervisor.os, "kill", lambda *call: killed.append(call))
    found = supervisor.Supervisor(tmp_path, Config(call_memory_mb=1000))
    monkeypatch.setattr(found, "_condemn", lambda mark, why: condemned.append((mark.model_id, why)))
    worker = supervisor._Worker(process)

    def look():
        found._watch(worker)
        return condemned, len(killed)

    return look


def test_calls_that_overlap_for_long_are_not_to_blame_for_what_grows_beside_them(process, looks):
    for n in range(3000):
        if n % 3 == 0:
            process.next_call(n // 3 % 2)
        for thread in (100, 101):
            process.use(thread, cpu=0.02, pages=1)
        process.resident += MB
        assert looks() == ([], 0)


def test_what_another_thread_allocates_is_no_calls(process, looks):
    """A body that is parsed, say."""
    for _ in range(20):
        looks()
        process.use(100, cpu=0.05, pages=10)
        process.others = process.others._replace(pages=process.others.pages + 50_000)
        process.resident += 200 * MB
    assert looks() == ([], 0)


def test_who_waits_for_the_interpreter_is_not_to_blame(process, looks):
    """Another thread parses for a minute."""
    for _ in range(1200):
        assert looks() == ([], 0)
        process.others = process.others._replace(cpu=process.others.cpu + 0.05)


@pytest.mark.parametrize("share", [0.02, 0.001])
def test_who_waits_for_a_cpu_that_other_programs_use_is_not_to_blame(process, looks, share):
    while process.threads[100].cpu < 1.5:
        assert looks() == ([], 0)
        process.use(100, cpu=share)
        process.waited["100"] += 0.05 - share


def test_a_thread_that_ends_takes_nothing_from_the_time_that_others_waited(process, looks):
    process.waited["200"] = 30.0
    while process.threads[100].cpu < 1.0:
        assert looks() == ([], 0)
        process.use(100, cpu=0.02)
        process.waited["100"] += 0.03
        if process.threads[100].cpu > 0.5:
            process.waited.pop("200", None)


def test_who_uses_all_of_its_budget_is_stopped_however_long_it_waited(process, looks):
    for _ in range(110):
        looks()
        process.use(100, cpu=0.02)
        process.waited["100"] += 0.03
    condemned, killed = looks()
    assert ({model for model, _ in condemned}, killed) == ({10}, 1)


def test_what_hangs_without_a_cpu_is_stopped_where_its_process_rests(process, looks):
    for _ in range(220):  # 11 s: five times the budget of 2 s, and a second
        condemned, killed = looks()
    assert condemned[0][0] in (10, 11)
    assert "one call took 10" in condemned[0][1]
    assert (len(condemned), killed) == (1, 1)  # and not the other one at the next look


def test_the_one_that_touches_the_memory_is_condemned_and_the_worker_ended_once(process, looks):
    for _ in range(6):
        looks()
        process.use(100, cpu=0.05, pages=10)
        process.use(101, cpu=0.01, pages=60_000)
        process.resident += 240 * MB
    condemned, killed = looks()
    assert {model for model, _ in condemned} == {11}
    assert "grew by" in condemned[0][1]
    assert killed == len(condemned)


def test_memory_in_huge_pages_is_laid_to_who_has_it_cleared(process, looks):
    """A gigabyte of NumPy's is some hundred pages, and a neighbour's small objects are more."""
    for _ in range(6):
        looks()
        process.use(100, cpu=0.05, pages=1000)
        process.use(101, cpu=0.04, pages=100, system=0.03)
        process.resident += 240 * MB
    assert {model for model, _ in looks()[0]} == {11}


def test_where_the_kernel_does_not_count_pages_the_busy_one_is(process, looks):
    for _ in range(6):
        looks()
        process.use(101, cpu=0.05)
        process.resident += 240 * MB
    assert {model for model, _ in looks()[0]} == {11}


def test_the_kernel_counts_by_thread():
    begin, go_on, done = (threading.Event() for _ in range(3))
    ids = []

    def touch():
        ids.append(threading.get_native_id())
        begin.set()
        go_on.wait(60)
        ctypes.memset(ctypes.create_string_buffer(64 * MB), 1, 64 * MB)
        done.set()
        begin.wait(60)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    assert begin.wait(60)
    begin.clear()
    before, mine, all_before = (
        usage(os.getpid(), ids[0]),
        usage(os.getpid(), threading.get_native_id()),
        usage(os.getpid()),
    )
    go_on.set()
    assert done.wait(60)
    after, all_after = usage(os.getpid(), ids[0]), usage(os.getpid())
    begin.set()
    thread.join()
    assert after.pages - before.pages >= (all_after.pages - all_before.pages) / 2
    assert after.pages > before.pages
    assert mine.pages >= 0
    assert usage(os.getpid(), 2**22 - 1) == Usage()


def test_the_kernel_counts_how_long_a_process_waits_for_a_cpu():
    """Two that compute on one CPU wait for each other, as long as they use it."""
    code = """if True:
        import os, sys, time
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        while time.process_time() < 0.6:
            pass
        print(flush=True)
        sys.stdin.read()
    """
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for one in both:
            one.stdout.readline()
        assert sum(sum(cpu_waits(one.pid).values()) for one in both) > 0.3e9
    finally:
        for one in both:
            one.communicate()
    assert CpuWait(2**22 - 1).seconds() == 0
