"""Fixed settings of gunicorn."""

import os
import signal
from typing import Any

from server.runtime import announcement
from server.runtime.process import STOP_SIGNALS

worker_class = "server.runtime.gunicorn_worker.Worker"
logger_class = "server.runtime.logs.GunicornLogger"
keepalive = 75
graceful_timeout = 30
timeout = 120
accesslog = None
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms'  # without the query, which may contain a secret
control_socket_disable = True
# A header name with '_' could be mistaken for the one with '-' that a proxy sets. The application itself reads the scheme.
header_map = "refuse"
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

_parent = os.getpid()


def when_ready(arbiter: Any) -> None:
    announcement.announce()


def pre_fork(arbiter: Any, worker: Any) -> None:
    """Block stop signals until the new worker has its own handlers, because its parent's handlers would lose them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _unblock_stop_signals() -> None:
    if os.getpid() == _parent:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


os.register_at_fork(after_in_parent=_unblock_stop_signals)
