"""Gunicorn's worker: a gthread worker whose threads don't wait for slow clients.

A request is received without blocking, by the event loop or by the thread that has its connection. A thread serves it
when it is complete. The event loop sends what can't be sent at once. So a slow or idle client occupies no thread. If a
body or a response is too large to keep in memory, a thread reads or sends the rest, as long as the client is fast
enough. A request that is not complete within ``TAILRACE_REQUEST_SECONDS`` is refused. A connection is closed if its
request was answered before the body was read. The number of connections is limited, in total and by address.

Gunicorn passes every request from its main thread to another thread and back. If the client sends its next request at
once, this costs more than the request itself. So a thread keeps its connection as long as the next request arrives
within :data:`LINGER` and no other request waits for a thread.

If all threads are busy, probes are served by threads of their own. Otherwise a database that hangs would block them
too, and the server would be mistaken for one that is stuck.
"""

import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.core.probe_paths import PROBE_PATHS
from server.core.stopping import STOPPING
from server.runtime.gunicorn_connection import Connection, Gone
from server.runtime.gunicorn_refusals import is_malformed, refusal
from server.runtime.gunicorn_waiting import WaitingWorker
from server.runtime.process import STOP_SIGNALS

LINGER = 5
"""Milliseconds to wait for the next request on a connection, or for the rest of one."""

MOST_IN_A_ROW = 16
"""Most requests that a thread serves on one connection while others wait for a thread."""

PROBE_THREADS = 2
"""Threads of a worker for probes, which start when all others are busy."""

_PROBES = tuple(f"{method} {path}".encode() for method in ("GET", "HEAD") for path in PROBE_PATHS)


class Worker(WaitingWorker):
    """Serves the complete requests that the event loop receives, with a pool of threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_pool = 0
        self.probes = ThreadPoolExecutor(PROBE_THREADS, "probes")

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # blocked since before the fork

    def get_thread_pool(self) -> ThreadPoolExecutor:
        pool = super().get_thread_pool()
        Connection.others_wait = pool._work_queue.qsize
        return pool

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop. Event streams, which have no end of their own, are ended first."""
        STOPPING.set()
        super().handle_exit(sig, frame)

    def enqueue_req(self, conn: Any) -> None:
        """Pass a connection to a thread.

        If all are busy, wait for a complete request first, and serve a probe by its own threads.
        """
        if self.in_pool >= self.cfg.threads and self.alive:
            if not conn.sock.is_ready():
                self.wait_for(conn)
                return
            if conn.sock.first_bytes.startswith(_PROBES):
                probe = self.probes.submit(self.handle, conn)
                probe.add_done_callback(lambda done: self.method_queue.defer(self.served, conn, done))
                return
        self.in_pool += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from a thread of the pool."""
        self.in_pool -= 1
        self.served(conn, fs)

    def served(self, conn: Any, fs: Any) -> None:
        """Serve or wait for the next request of a connection that a thread has served."""
        sock = conn.sock
        failed = None if fs.cancelled() else fs.exception()
        if failed is not None:
            self.log.error("a request failed outside the application", exc_info=failed)
        sock.keeps = not fs.cancelled() and failed is None and fs.result()
        if sock.failure:
            self.log.info("%s: %s", conn.client[0], sock.failure)
        if sock.keeps and not sock.unsent and sock.has_begun and sock.is_ready():
            self.enqueue_req(conn)
        else:
            self.wait_for(conn)

    def handle(self, conn: Any) -> bool:
        """Serve requests of one connection as long as they arrive. Return whether the connection stays open."""
        sock = conn.sock
        served = 0
        others_wait = sock.others_wait
        while True:
            if not sock.is_ready() and not self._rest_comes(sock):
                return True
            if not sock.begin():
                return False
            result = super().handle(conn)
            if sock.fileno() < 0:
                return False
            try:
                sock.flush()
            except Gone:
                return False
            served += 1
            if not result:
                return False
            sock.expect_next(conn.parser.unreader)
            if sock.unsent or not self.alive or (served >= MOST_IN_A_ROW and others_wait()):
                return True
            if not sock.has_begun and not _comes(sock, 0 if others_wait() else LINGER):
                return True

    def _rest_comes(self, sock: Connection) -> bool:
        """Wait shortly for the rest of an incomplete request. Return whether it is complete."""
        tries = LINGER
        while tries and sock.has_begun and not sock.others_wait() and _comes(sock, 1):
            if sock.is_ready():
                return True
            tries -= 1
        return False

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Return whether the connection can be kept. It can't if this request's body is not received completely."""
        return bool(keepalive) and conn.sock.is_all_here and bool(conn.parser.finish_body())

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose headers are read."""
        sock = conn.sock
        sock.has_head = True
        sock.force_close = req.force_close
        if req._expected_100_continue and sock.was_told_to_continue:
            req._expected_100_continue = False
        for name, _ in req.headers:
            if name == "HOST":
                break
        else:
            req.headers.append(("HOST", ""))  # the application refuses it, as with granian
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse a request that can't be parsed. The log doesn't show its content, which may include a credential."""
        if is_malformed(exc):
            self.log.info("a malformed request from %s: %s", addr[0] if addr else "a socket", type(exc).__name__)
        else:
            self.log.exception("a request failed outside the application")
        try:
            client.sendall(refusal(exc))
        except OSError:
            self.log.debug("the client closed the connection before the refusal was sent")


def _comes(sock: Connection, milliseconds: int) -> bool:
    """Return whether the client sends something within this time."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(milliseconds))
