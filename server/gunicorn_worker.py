"""A gthread worker that lingers on a connection: gunicorn hands every request from its main thread to another and back,
which costs more than the request itself where the client has its next request ready.

A thread stays with its connection for as long as the next request comes within :data:`LINGER` and nobody else
waits for a thread, and then gives it back to the poller as gunicorn would have done at once.

It has no patience with clients that keep a thread waiting: a request has to come in whole within
``TAILRACE_REQUEST_SECONDS``, and no thread waits for one that hasn't begun.
"""

import select
import socket
import time
from typing import Any

from gunicorn.workers.gthread import _DEFER, ThreadWorker

from server import config
from server.gunicorn_connection import Connection, is_malformed, refusal

LINGER = 5
"""Milliseconds to wait for the next request on a connection."""

FIRST = 0.05
"""Seconds that a thread waits for the first request on a connection; then the poller does."""

FAREWELL = 0.5
"""Seconds that a thread waits for a client to close a connection that ends, so that it reads the answer first."""

FEW = 16
"""Connections of a worker up to which it leaves the next one to a worker that has fewer."""

MOST_IN_A_ROW = 16
"""Requests served in a row while others wait for a thread."""


class Worker(ThreadWorker):
    """gthread, lingering."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = config.load().request_seconds

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: event streams, which would go on for ever, end first."""
        from server.api import events

        events.STOPPING.set()
        super().handle_exit(sig, frame)

    def accept(self, listener: Any) -> None:
        """Accept, then wait the longer the more connections there are: a worker with fewer comes first for the next.

        Left alone, the worker that wakes first takes all connections of a client that opens them at once.
        """
        super().accept(listener)
        if self.cfg.workers > 1 and 1 < self.nr_conns <= FEW:
            time.sleep(self.nr_conns * 1e-4)

    def handle(self, conn: Any) -> Any:
        """Serve requests of one connection; what is returned means to gunicorn what its own ``handle`` returns."""
        if not conn.initialized:
            if not conn.wait_for_data(FIRST):
                return _DEFER
            conn.sock = Connection.of(conn.sock)
        served = 0
        waiting = self.tpool._work_queue.qsize
        while True:
            conn.sock.begin(self.patience)
            result = super().handle(conn)
            if conn.sock.fileno() >= 0:
                conn.sock.flush()
            served += 1
            if not result:
                conn.sock.end(FAREWELL)
                return result
            if result is not True or not self.alive:
                return result
            if served >= MOST_IN_A_ROW and waiting():
                return result
            if conn.parser.unreader.buf.tell():
                continue
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(0 if waiting() else LINGER):
                return result

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head was read."""
        conn.sock.has_head = True
        conn.sock.force_close = req.force_close
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what can't be read as a request. Of what was sent, which may hold a credential, the log has nothing."""
        if is_malformed(exc):
            self.log.info("a malformed request from %s: %s", addr[0] if addr else "a socket", type(exc).__name__)
        else:
            self.log.exception("a request failed outside the application")
        try:
            client.sendall(refusal(exc))
        except OSError:
            self.log.debug("whoever sent it has gone")
