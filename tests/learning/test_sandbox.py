"""Work in a process of its own: whatever it does, its caller goes on."""

import contextlib
import fcntl
import gc
import os
import signal
import subprocess
import sys
import threading

import pytest

from server.core.errors import Conflict, Invalid, Unavailable
from server.learning.budgets import sandbox

pytestmark = pytest.mark.one_database


def run(work, seconds=20.0, megabytes=512):
    return sandbox.run(lambda step: work(), seconds=seconds, megabytes=megabytes)


def children() -> str:
    return subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "stat="], capture_output=True, text=True).stdout


def test_it_answers_with_what_the_work_returns():
    assert run(lambda: b"x" * 3_000_000) == b"x" * 3_000_000


def test_a_child_finalizes_nothing_of_its_parents():
    parent = os.getpid()

    class Connection:
        def __init__(self):
            self.itself = self

        def __del__(self):
            if os.getpid() != parent:
                os._exit(1)  # a real one's would wait for a mutex that nobody gives back

    def work():
        gc.collect()
        return b"done"

    gc.disable()
    try:
        Connection()
        assert run(work) == b"done"
    finally:
        gc.enable()
    assert gc.isenabled()


def test_an_error_of_the_works_own_comes_back_as_it_was():
    def refuses():
        raise Conflict("no: \ud800 π", field="a.b", code="taken")

    with pytest.raises(Conflict) as found:
        run(refuses)
    assert (found.value.message, found.value.field, found.value.code) == ("no: \\ud800 π", "a.b", "taken")
    with pytest.raises(sandbox.Failed, match="ZeroDivisionError: integer division"):
        run(lambda: 1 // 0)


def hang():
    while True:
        pass


def eat():
    kept = []
    while True:
        kept.append(bytearray(50 * 2**20))


@pytest.mark.parametrize(
    "work, why",
    [
        (hang, "took more than 0.3 s"),
        (eat, "took more than 64 MB"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (os.abort, "SIGABRT"),
        (lambda: os._exit(3), "ended its process"),
    ],
)
def test_work_that_never_ends_or_ends_its_process_is_told_of(work, why):
    with pytest.raises(sandbox.Exceeded, match=why):
        run(work, seconds=0.3 if work is hang else 20.0, megabytes=64)
    assert "Z" not in children()


def test_each_step_has_its_own_time():
    def work(step):
        step(60.0)
        return b"done" if sum(range(8_000_000)) else b""

    assert sandbox.run(work, seconds=20.0, megabytes=64) == b"done"

    def hangs(step):
        step(0.3)
        hang()

    with pytest.raises(sandbox.Exceeded, match=r"0\.3 s"):
        sandbox.run(hangs, seconds=60.0, megabytes=64)


def test_the_callers_locks_and_files_are_not_touched(tmp_path):
    """fcntl's locks are lost to a process that closes another descriptor of the file: the child closes its own copies."""
    path = tmp_path / "file"
    with open(path, "w+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        run(lambda: b"")
        taken = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", taken, str(path)], capture_output=True, text=True)
        assert "BlockingIOError" in other.stderr
        file.write(b"still open")


def test_no_more_work_at_once_than_threads_can_be_spared(monkeypatch):
    monkeypatch.setattr(sandbox, "PATIENCE", 0.05)
    refused, begun = [], threading.Barrier(3)

    def ask():
        begun.wait(10)
        try:
            with contextlib.suppress(sandbox.Exceeded):
                run(hang, seconds=0.5)
        except Unavailable as exc:
            refused.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert run(lambda: b"again") == b"again"


def test_a_refusal_needs_no_field():
    def refuses():
        raise Invalid("no")

    with pytest.raises(Invalid) as found:
        run(refuses)
    assert (found.value.field, found.value.code) == (None, "invalid")
