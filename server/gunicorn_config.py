"""gunicorn's settings that are not the user's to choose."""

import os
import signal
from typing import Any

from server.process import STOPS

worker_class = "server.gunicorn_worker.Worker"
logger_class = "server.logs.GunicornLogger"
keepalive = 75
graceful_timeout = 30
timeout = 120
accesslog = None
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms'  # without the query, where a secret may stand
control_socket_disable = True
# A name with '_' could pass for the one with '-' that a proxy sets. The scheme is taken from a proxy by the application.
header_map = "refuse"
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

_parent = os.getpid()


def pre_fork(arbiter: Any, worker: Any) -> None:
    """Keep a stop back until the new worker has handlers of its own: its parent's, which it begins with, would lose it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _hear_again() -> None:
    if os.getpid() == _parent:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


os.register_at_fork(after_in_parent=_hear_again)
