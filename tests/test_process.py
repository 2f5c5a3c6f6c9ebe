"""What a server process does to itself: each worker on a CPU of its own."""

import os
import threading
import time

import psutil
import pytest

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


@pytest.mark.parametrize("settings", [{"pin_workers": "false", "workers": 1}, {"workers": os.cpu_count() + 1}])
def test_it_pins_nothing_where_it_is_told_not_to_or_can_not(serve, settings):
    server = serve(threads=2, **settings)
    everything = os.sched_getaffinity(0)
    for child in psutil.Process(server.process.pid).children(recursive=True):
        assert set(child.cpu_affinity()) == everything
