"""Replay of a model's whole log in a fresh process.

``python -m bench.replay MODEL`` prints how many observations it folded and the seconds that it took.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from bench.errors import BenchError
from bench.servers import ROOT


def measure(model: str, environ: Mapping[str, str]) -> float:
    """Observations a second of a replay from the first one, in a new process on a server's database.

    Raises
    ------
    BenchError
        If the process fails.
    """
    command = [sys.executable, "-m", "bench.replay", model]
    done = subprocess.run(command, cwd=ROOT, env=dict(environ), capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"the replay of {model} failed: {done.stderr.strip()[-800:]}")
    count, seconds = done.stdout.split()[-2:]
    return int(count) / float(seconds)


def run(name: str) -> tuple[int, float]:
    """Fold the log into a model in its initial state; observations and seconds."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    import django

    django.setup()
    from server.learning.fold import replay
    from server.learning.models import Model
    from server.streams.models import Stream

    model = Model.objects.select_related("stream").get(name=name)
    head = Stream.objects.values_list("head", flat=True).get(pk=model.stream_id)
    replica = replay.initial_replica(model, model.stream.segment)
    started = time.perf_counter()
    replay.fold_log(replica, model, replay.exclusions_of(model), head)
    return replica.learned, time.perf_counter() - started


if __name__ == "__main__":
    print(*run(sys.argv[1]))
