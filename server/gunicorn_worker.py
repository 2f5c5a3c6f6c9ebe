"""A gthread worker whose threads don't wait for clients, and that lingers on a connection.

A request is taken in without waiting, by the thread that has its connection or by the poller, and a thread serves it once it is
whole; likewise the poller sends what a client doesn't take at once. So clients that are slow, or say nothing, keep no thread from
others. Of a body or an answer that is too large to be kept, a thread reads or sends the rest for as long as the client keeps up.
What isn't whole within ``TAILRACE_REQUEST_SECONDS`` is refused, and a connection whose request was answered before its body
was read ends. Connections are bounded, in all and by address.

gunicorn hands every request from its main thread to another and back, which costs more than the request itself where the client
has its next request ready: so a thread stays with its connection for as long as the next request comes within :data:`LINGER`
and nobody else waits for a thread.

Probes have threads of their own where all others are busy: else a database that hangs would keep them waiting with everybody
else, and a server that only waits be taken for one that is stuck.
"""

import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.gunicorn_connection import Connection, Gone
from server.gunicorn_refusals import is_malformed, refusal
from server.gunicorn_waiting import WaitingWorker
from server.probes import PROBES
from server.process import STOPS
from server.stopping import STOPPING

LINGER = 5
"""Milliseconds to wait for the next request on a connection, or for the rest of one."""

MOST_IN_A_ROW = 16
"""Requests served in a row while others wait for a thread."""

PROBE_THREADS = 2
"""Threads of a worker for probes, which start when all others are busy."""

_PROBES = tuple(f"{method} {path}".encode() for method in ("GET", "HEAD") for path in PROBES)


class Worker(WaitingWorker):
    """gthread, lingering, and waiting for nobody."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_pool = 0
        self.probes = ThreadPoolExecutor(PROBE_THREADS, "probes")

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # kept back since before the fork

    def get_thread_pool(self) -> ThreadPoolExecutor:
        pool = super().get_thread_pool()
        Connection.others_wait = pool._work_queue.qsize
        return pool

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: event streams, which would go on for ever, end first."""
        STOPPING.set()
        super().handle_exit(sig, frame)

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread; where all are busy, only with a whole request, and see whether it is a probe's."""
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
        """Take a connection back from a thread."""
        self.in_pool -= 1
        self.served(conn, fs)

    def served(self, conn: Any, fs: Any) -> None:
        """Wait for what comes next on a connection that a thread has served."""
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
        """Serve requests of one connection for as long as they are there; whether there may be more."""
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
        """Whether the rest of a request that has begun to come is just behind."""
        tries = LINGER
        while tries and sock.has_begun and not sock.others_wait() and _comes(sock, 1):
            if sock.is_ready():
                return True
            tries -= 1
        return False

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Whether there can be another request: none where the rest of this one would have to be waited for."""
        return bool(keepalive) and conn.sock.is_all_here and bool(conn.parser.finish_body())

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head was read."""
        sock = conn.sock
        sock.has_head = True
        sock.force_close = req.force_close
        if req._expected_100_continue and sock.was_told_to_continue:
            req._expected_100_continue = False
        for name, _ in req.headers:
            if name == "HOST":
                break
        else:
            req.headers.append(("HOST", ""))  # the application refuses it, as from granian
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


def _comes(sock: Connection, milliseconds: int) -> bool:
    """Whether something comes within so long."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(milliseconds))
