"""The event loop of gunicorn's worker: open connections, what each waits for, and until when."""

import errno
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from server import config
from server.runtime.connection_limits import ConnectionLimits
from server.runtime.gunicorn_connection import SLOWEST, Connection, Gone
from server.runtime.gunicorn_refusals import refusal, too_many
from server.runtime.process import raise_file_limit

LINGERING_CLOSE = 0.5
"""Seconds that a client has to read the last response and close the connection, before the server closes it."""

MOST_DRAINED = 2**16
"""Most bytes that are read and discarded in a lingering close.

Closing with unread bytes would make the client lose the response.
"""

MOST_HELD = 2**26
"""Most bytes that a process holds of incomplete requests and unsent responses."""

MOST_REFUSED = 64
"""Most refused connections at a time that get a response. Further ones are closed without one."""

SWEEP = 0.25
"""Seconds between two checks for connections whose time is over."""

FEW = 16
"""Up to this many connections, a worker leaves the next one to a worker that has fewer."""

FILES_OF_A_THREAD = 8
OTHER_FILES = 128
"""Files that a worker may have open besides its connections: for each thread, and others."""


class Waiting:
    """Connections that the event loop waits for, in the order in which they began to wait.

    Attributes
    ----------
    until
        Deadline of each connection, by :func:`time.monotonic`.
    size
        Bytes that all of them hold.
    """

    def __init__(self) -> None:
        self.until: dict[Any, float] = {}
        self.size = 0
        self._sizes: dict[Any, int] = {}

    def add(self, conn: Any, until: float, size: int = 0) -> None:
        """Begin to wait for a connection, or change its deadline and size."""
        self.until[conn] = until
        self.size += size - self._sizes.get(conn, 0)
        self._sizes[conn] = size

    def remove(self, conn: Any) -> None:
        del self.until[conn]
        self.size -= self._sizes.pop(conn)

    def late(self, now: float) -> list[Any]:
        """Return the connections whose deadline is over."""
        return [conn for conn, until in self.until.items() if until <= now]


class WaitingWorker(ThreadWorker):  # type: ignore[misc]
    """A gthread worker whose event loop receives requests, sends responses and closes connections.

    So its threads don't wait for clients. A subclass serves the complete requests, in :meth:`enqueue_req`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = config.load()
        others = settings.threads * FILES_OF_A_THREAD + OTHER_FILES
        most = max(
            settings.threads + 1, min(settings.connections, raise_file_limit(settings.connections + others) - others)
        )
        self.cut_to = most if most < settings.connections else None
        self.limits = ConnectionLimits(most, settings.connections_per_address, settings.trusted_proxies)
        self.worker_connections = most + MOST_REFUSED + 1  # gunicorn's own limit, which is never reached
        self.max_keepalived = self.worker_connections
        Connection.patience = settings.request_seconds
        Connection.most_body = settings.max_body_bytes
        self.slow = Waiting()  # connections with an incomplete request
        self.sending = Waiting()  # connections with an unsent response
        self.leaving = Waiting()  # connections in a lingering close
        self.refused: set[Any] = set()
        self.swept = 0.0

    def init_process(self) -> None:
        if self.cut_to is not None:
            self.log.warning(
                "this process may open too few files for TAILRACE_CONNECTIONS connections: it keeps at most %s; raise its limit "
                "(ulimit -Hn, LimitNOFILE)", self.cut_to,
            )  # fmt: skip
        super().init_process()

    # Accepting and closing connections

    def accept(self, listener: Any) -> None:
        """Accept a connection. Then pause, longer with more connections, so that another worker accepts the next one.

        Without the pause, one worker would accept all connections of a client that opens many at once.
        """
        self.accept_one(listener)
        if self.cfg.workers > 1 and 1 < self.nr_conns <= FEW:
            time.sleep(self.nr_conns * 1e-4)

    def accept_one(self, listener: Any) -> bool:
        """Accept a connection and wait for its first request. Return whether there was a connection."""
        try:
            accepted, address = listener.accept()
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                self.log.warning("cannot accept connections: %s", exc.strerror)
                if not self.make_room(None):
                    time.sleep(0.05)
            elif exc.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return False
        conn = TConn(self.cfg, Connection.of(accepted), address, listener.getsockname())
        conn.data_ready = True  # a thread gets it only then
        why = self.limits.refusal(address[0])
        if why is None and self.limits.is_full and not self.make_room(address[0]):
            why = self.limits.full()
        self.nr_conns += 1
        if why is None:
            self.limits.opened(address[0])
            self.wait_for_first(conn)
        else:
            self.refuse(conn, why)
        return True

    def refuse(self, conn: Any, why: str) -> None:
        """Respond to a connection beyond the limits, and close it."""
        self.log.info("a connection from %s was refused: %s", conn.client[0], why)
        self.refused.add(conn)
        if len(self.refused) > MOST_REFUSED:
            self.drop(conn)
            return
        conn.sock.try_to_send(too_many(why))
        self.start_lingering_close(conn)

    def make_room(self, address: str | None) -> bool:
        """Close an idle connection of an address that has more connections than this one.

        Return whether there was one.
        """
        for site in self.limits.has_more(address):
            for conn in self.waiting():
                if self.limits.site(conn.client[0]) == site:
                    self.forget(conn)
                    self.drop(conn)
                    return True
        return False

    def waiting(self) -> Iterator[Any]:
        """Yield the connections that can be closed without losing a response, the longest waiting first."""
        yield from self.pending_conns
        yield from self.slow.until
        yield from self.keepalived_conns

    def forget(self, conn: Any) -> None:
        """Stop waiting for a connection."""
        self.poller.unregister(conn.sock)
        for kind in (self.slow, self.sending, self.leaving):
            if conn in kind.until:
                kind.remove(conn)
                return
        for some in (self.pending_conns, self.keepalived_conns):
            if conn in some:
                some.remove(conn)
                return

    def drop(self, conn: Any) -> None:
        """Close a connection that the event loop doesn't wait for."""
        self.nr_conns -= 1
        if conn in self.refused:
            self.refused.discard(conn)
        else:
            self.limits.closed(conn.client[0])
        conn.close()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or pause accepting. When the worker stops, accept waiting connections and close the listening socket.

        Otherwise the kernel would accept connections until the last request is served, and then reset them.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                while self.accept_one(listener):
                    pass
                listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Shorten the wait for idle connections when the worker stops, also for those that have sent nothing yet."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    # Waiting

    def poll(self, conn: Any, event: int, callback: Callable[[Any, Any], None]) -> None:
        self.poller.register(conn.sock, event, partial(callback, conn))

    def wait_for_first(self, conn: Any) -> None:
        """Wait for the first request of a connection."""
        conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
        self.pending_conns.append(conn)
        self.poll(conn, selectors.EVENT_READ, self.on_pending_socket_readable)

    def wait_for(self, conn: Any) -> None:
        """Wait for what the connection needs next."""
        sock = conn.sock
        if sock.fileno() < 0 or sock.failure:
            self.drop(conn)
        elif sock.unsent:
            self.sending.add(conn, time.monotonic() + sock.patience, len(sock.unsent))
            self.poll(conn, selectors.EVENT_WRITE, self.on_writable)
        elif not sock.keeps:
            self.start_lingering_close(conn)
        elif sock.has_begun:
            self.slow.add(conn, sock.deadline, sock.kept)
            self.poll(conn, selectors.EVENT_READ, self.on_slow_readable)
        elif not conn.initialized:
            self.wait_for_first(conn)
        else:
            conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self.poll(conn, selectors.EVENT_READ, self.on_client_socket_readable)

    def on_slow_readable(self, conn: Any, _sock: Any) -> None:
        """Receive more of an incomplete request."""
        sock = conn.sock
        if sock.is_ready():
            self.forget(conn)
            self.enqueue_req(conn)
            return
        self.slow.add(conn, sock.deadline, sock.kept)
        if self.slow.size + self.sending.size > MOST_HELD:
            self.refuse_late(next(iter(self.slow.until)))

    def on_writable(self, conn: Any, _sock: Any) -> None:
        """Send more of a response."""
        sock = conn.sock
        try:
            sent = sock.push()
        except Gone:
            self.log.info("%s: %s", conn.client[0], sock.failure)
            self.forget(conn)
            self.drop(conn)
            return
        if sock.unsent:
            # Extend the deadline by the time that a client at the least speed needs for the bytes sent.
            now = time.monotonic()
            until = min(now + sock.patience, self.sending.until[conn] + sent / SLOWEST)
            self.sending.add(conn, until, len(sock.unsent))
            return
        self.forget(conn)
        if sock.keeps and sock.has_begun and sock.is_ready():
            self.enqueue_req(conn)
        else:
            self.wait_for(conn)

    def start_lingering_close(self, conn: Any) -> None:
        """Close a connection for sending, and wait until the client has read the last response and closes it."""
        sock = conn.sock
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.has_ended = True
        if sock.has_ended:
            self.drop(conn)
            return
        conn.drained = 0
        self.leaving.add(conn, time.monotonic() + LINGERING_CLOSE)
        self.poll(conn, selectors.EVENT_READ, self.on_leaving_readable)

    def on_leaving_readable(self, conn: Any, _sock: Any) -> None:
        """Discard what the client still sends in a lingering close.

        Close the connection if the client has closed it.
        """
        came = conn.sock.drained()
        conn.drained += came
        if came < 0 or conn.drained > MOST_DRAINED:
            self.forget(conn)
            self.drop(conn)

    def refuse_late(self, conn: Any) -> None:
        """Refuse a request that is not complete in time."""
        self.forget(conn)
        self.log.info("a request from %s was not complete in time", conn.client[0])
        conn.sock.try_to_send(refusal(TimeoutError()))
        self.start_lingering_close(conn)

    def murder_pending(self) -> None:
        """Close the connections whose time is over."""
        now = time.monotonic()
        if self.alive and now - self.swept < SWEEP:
            return
        self.swept = now
        for some in (self.pending_conns, self.keepalived_conns):
            while some and some[0].timeout <= now:
                conn = some[0]
                self.forget(conn)
                self.drop(conn)
        for conn in self.slow.late(now):
            self.refuse_late(conn)
        for conn in self.sending.late(now):
            self.log.info("%s: the client reads the response too slowly", conn.client[0])
            self.forget(conn)
            self.drop(conn)
        for conn in self.leaving.late(now):
            self.forget(conn)
            self.drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close all idle connections if ``force``.

        Otherwise do nothing: :meth:`murder_pending` closes them when their time is over.
        """
        while force and self.keepalived_conns:
            conn = self.keepalived_conns[0]
            self.forget(conn)
            self.drop(conn)
