"""Who writes: what waiting for it costs and leaves behind."""

import os
import threading

import pytest
from django.db import connection

from server.streams.locks import is_sqlite, transaction_for_writing

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_thread_that_ends_leaves_no_open_file():
    if not is_sqlite():
        pytest.skip("PostgreSQL locks without files")

    def write():
        with transaction_for_writing():
            pass
        connection.close()

    def in_a_thread():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    in_a_thread()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        in_a_thread()
    assert len(os.listdir("/proc/self/fd")) <= before
