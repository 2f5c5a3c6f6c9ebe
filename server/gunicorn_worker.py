"""A gthread worker that lingers on a connection: gunicorn hands every request from its main thread to another and back,
which costs more than the request itself where the client has its next request ready.

A thread stays with its connection for as long as the next request comes within :data:`LINGER` and nobody else
waits for a thread, and then gives it back to the poller as gunicorn would have done at once.
"""

import select
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

LINGER = 5
"""Milliseconds to wait for the next request on a connection."""

FEW = 16
"""Connections of a worker up to which it leaves the next one to a worker that has fewer."""

MOST_IN_A_ROW = 16
"""Requests served in a row while others wait for a thread."""


class Joining(socket.socket):
    """Sends a response's head together with the first of its body: gunicorn sends them apart, and each sending gives up
    the interpreter and wakes the client.
    """

    _head = b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:7] == b"HTTP/1." and b"\r\nContent-Length: " in data:
            self._head = data
            return
        super().sendall(data, flags)

    def sendfile(self, *args: Any, **options: Any) -> int:
        self.flush()
        return super().sendfile(*args, **options)

    def flush(self) -> None:
        """Send a head that no body followed."""
        if self._head:
            self.sendall(b"")


class Worker(ThreadWorker):
    """gthread, lingering."""

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
        if not conn.initialized and not self.cfg.is_ssl:
            conn.sock = Joining(fileno=conn.sock.detach())
        served = 0
        waiting = self.tpool._work_queue.qsize
        while True:
            result = super().handle(conn)
            if isinstance(conn.sock, Joining) and conn.sock.fileno() >= 0:
                conn.sock.flush()
            served += 1
            if result is not True or not self.alive or conn.is_http2:
                return result
            if served >= MOST_IN_A_ROW and waiting():
                return result
            if conn.parser.unreader.buf.tell():
                continue
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(0 if waiting() else LINGER):
                return result
