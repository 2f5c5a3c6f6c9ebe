"""Who writes: what waiting for it leaves behind."""

import os
import threading

import pytest

from server.core.db import locks

pytestmark = pytest.mark.one_database  # PostgreSQL has locks of its own


def test_a_thread_that_ends_leaves_no_open_file(tmp_path):
    def wait_for_turn():
        locks._lock_file(tmp_path / "tailrace.lock")

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        thread = threading.Thread(target=wait_for_turn)
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == before
