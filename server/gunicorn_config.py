"""gunicorn's settings that are not the user's to choose, and where its workers run."""

import os
import random
from typing import Any

from server.config import load

worker_class = "server.gunicorn_worker.Worker"
keepalive = 75
graceful_timeout = 30
timeout = 120
accesslog = None
control_socket_disable = True

_settings = load()
_cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
_first = random.randrange(len(_cpus)) if _cpus else 0  # other servers on this machine have the same list


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the lowest number that no living worker has."""
    taken = {getattr(other, "number", None) for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """Keep the worker on one CPU: its threads take turns anyway, and taking turns across CPUs costs two thirds of the rate."""
    if _settings.pin_workers and len(_cpus) > 1 and _settings.workers <= len(_cpus):
        os.sched_setaffinity(0, {_cpus[(_first + worker.number) % len(_cpus)]})
