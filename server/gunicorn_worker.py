"""A gthread worker that lingers on a connection: gunicorn hands every request from its main thread to another and back,
which costs more than the request itself where the client has its next request ready.

A thread stays with its connection for as long as the next request comes within :data:`LINGER` and nobody else
waits for a thread, and then gives it back to the poller as gunicorn would have done at once.

Probes have threads of their own where all others are busy: else a database that hangs would keep them waiting with everybody
else, and a server that only waits be taken for one that is stuck.

It has no patience with clients that keep a thread waiting: a request has to come in whole within
``TAILRACE_REQUEST_SECONDS``, and no thread waits for one that hasn't begun.
"""

import select
import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.workers.gthread import _DEFER, STOP_KEEPALIVE_LINGER, ThreadWorker

from server import config
from server.gunicorn_connection import Connection, is_malformed, refusal
from server.probes import PROBES
from server.stopping import STOPPING

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

PROBE_THREADS = 2
"""Threads of a worker for probes, which start when all others are busy."""

_PROBES = tuple(f"{method} {path}".encode() for method in ("GET", "HEAD") for path in PROBES)


class Worker(ThreadWorker):
    """gthread, lingering."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = config.load().request_seconds
        self.in_pool = 0
        self.probes = ThreadPoolExecutor(PROBE_THREADS, "probes")

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread; where all are busy, first look at what it wants."""
        if self.in_pool < self.cfg.threads or not self.alive:
            self.in_pool += 1
            super().enqueue_req(conn)
            return
        wants = _peek(conn)
        if wants is None:
            nothing_yet: Future[Any] = Future()
            nothing_yet.set_result(_DEFER)
            super().finish_request(conn, nothing_yet)
        elif wants.startswith(_PROBES):
            finish = super().finish_request
            asked = self.probes.submit(self.handle, conn)
            asked.add_done_callback(lambda done: self.method_queue.defer(finish, conn, done))
        else:
            self.in_pool += 1
            super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        self.in_pool -= 1
        if not self.alive and not fs.cancelled() and fs.exception() is None and fs.result() is _DEFER:
            # It has come and sent nothing yet: it has as long as a connection whose next request may be on its way.
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + STOP_KEEPALIVE_LINGER
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
            return
        super().finish_request(conn, fs)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept, or don't for now; at the end take in who has come, and close the door, so that nobody waits there in vain.

        Left alone, the kernel would go on accepting for as long as the last request takes, and then end those connections.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                came = -1
                while came != self.nr_conns:
                    came = self.nr_conns
                    super().accept(listener)
                listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Connections that have sent nothing yet hold up the end no longer than idle ones."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: event streams, which would go on for ever, end first."""
        STOPPING.set()
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


def _peek(conn: Any) -> bytes | None:
    """The first bytes of the next request on a connection; None if a new one has sent nothing yet."""
    if conn.parser is not None and conn.parser.unreader.buf.tell():
        return b""
    try:
        return socket.socket.recv(conn.sock, 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None if not conn.initialized else b""
    except OSError:  # it has gone: whoever reads it finds out
        return b""
