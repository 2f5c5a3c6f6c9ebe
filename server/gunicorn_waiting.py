"""The part of gunicorn's worker that waits: which connections there are, what each waits for, and for how long."""

import errno
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from server import config
from server.connection_limits import ConnectionLimits
from server.gunicorn_connection import SLOWEST, Connection, Gone
from server.gunicorn_refusals import refusal, too_many
from server.process import allow_files

FAREWELL = 0.5
"""Seconds that a client has to close a connection that ends, so that it reads the answer first."""

MOST_DRAINED = 2**16
"""Bytes that are read from a connection that ends, so that its client reads the answer to what it sent too much."""

MOST_HELD = 2**26
"""Bytes of requests that aren't whole, and of answers that aren't sent, which a process holds at a time."""

MOST_REFUSED = 64
"""Connections beyond the bounds that are told so at a time; further ones just end."""

SWEEP = 0.25
"""Seconds between two looks at whose time is up."""

FEW = 16
"""Connections of a worker up to which it leaves the next one to a worker that has fewer."""

FILES_OF_A_THREAD = 8
OTHER_FILES = 128
"""Files that a worker may have open beside its connections."""


class Waiting:
    """Connections that the poller waits for, in the order in which they began to wait.

    Attributes
    ----------
    until
        When the patience with each is over, by :func:`time.monotonic`.
    size
        Bytes that they hold.
    """

    def __init__(self) -> None:
        self.until: dict[Any, float] = {}
        self.size = 0
        self._sizes: dict[Any, int] = {}

    def add(self, conn: Any, until: float, size: int = 0) -> None:
        """Begin to wait, or go on until another time or with another size."""
        self.until[conn] = until
        self.size += size - self._sizes.get(conn, 0)
        self._sizes[conn] = size

    def remove(self, conn: Any) -> None:
        del self.until[conn]
        self.size -= self._sizes.pop(conn)

    def late(self, now: float) -> list[Any]:
        """Those whose time is up."""
        return [conn for conn, until in self.until.items() if until <= now]


class WaitingWorker(ThreadWorker):  # type: ignore[misc]
    """gthread whose poller waits for clients: for requests, until they are whole; until answers are taken; and at the end of connections.

    How they are served is for whoever derives from it: that one has :meth:`enqueue_req`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = config.load()
        others = settings.threads * FILES_OF_A_THREAD + OTHER_FILES
        most = max(settings.threads + 1, min(settings.connections, allow_files(settings.connections + others) - others))
        self.cut_to = most if most < settings.connections else None
        self.limits = ConnectionLimits(most, settings.connections_per_address, settings.trusted_proxies)
        self.worker_connections = most + MOST_REFUSED + 1  # beyond which gunicorn would accept nobody: never reached
        self.max_keepalived = self.worker_connections
        Connection.patience = settings.request_seconds
        Connection.most_body = settings.max_body_bytes
        self.slow = Waiting()  # whose request has begun to come
        self.sending = Waiting()  # whose answer isn't taken yet
        self.leaving = Waiting()  # that end
        self.refused: set[Any] = set()
        self.swept = 0.0

    def init_process(self) -> None:
        if self.cut_to is not None:
            self.log.warning(
                "this process may open too few files for TAILRACE_CONNECTIONS connections: it keeps at most %s; raise its limit "
                "(ulimit -Hn, LimitNOFILE)", self.cut_to,
            )  # fmt: skip
        super().init_process()

    # Connections come

    def accept(self, listener: Any) -> None:
        """Accept, then wait the longer the more connections there are: a worker with fewer comes first for the next.

        Left alone, the worker that wakes first takes all connections of a client that opens them at once.
        """
        self.take_in(listener)
        if self.cfg.workers > 1 and 1 < self.nr_conns <= FEW:
            time.sleep(self.nr_conns * 1e-4)

    def take_in(self, listener: Any) -> bool:
        """Accept a connection and wait for its first request; whether there was one."""
        try:
            accepted, address = listener.accept()
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                self.log.warning("no connection can be accepted: %s", exc.strerror)
                if not self.make_room(None):
                    time.sleep(0.05)
            elif exc.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return False
        conn = TConn(self.cfg, Connection.of(accepted), address, listener.getsockname())
        conn.data_ready = True  # whenever a thread has it
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
        """Tell a client that its connection is one too many."""
        self.log.info("a connection from %s was refused: %s", conn.client[0], why)
        self.refused.add(conn)
        if len(self.refused) > MOST_REFUSED:
            self.drop(conn)
            return
        conn.sock.try_to_send(too_many(why))
        self.say_farewell(conn)

    def make_room(self, address: str | None) -> bool:
        """End a connection that waits, of an address that has more of them than this one."""
        for site in self.limits.has_more(address):
            for conn in self.waiting():
                if self.limits.site(conn.client[0]) == site:
                    self.forget(conn)
                    self.drop(conn)
                    return True
        return False

    def waiting(self) -> Iterator[Any]:
        """Connections that nothing is lost with, the longest waiting first."""
        yield from self.pending_conns
        yield from self.slow.until
        yield from self.keepalived_conns

    def forget(self, conn: Any) -> None:
        """Wait for a connection no longer."""
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
        """Close a connection that nobody waits for any more."""
        self.nr_conns -= 1
        if conn in self.refused:
            self.refused.discard(conn)
        else:
            self.limits.closed(conn.client[0])
        conn.close()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept, or don't for now; at the end take in who has come, and close the door, so that nobody waits there in vain.

        Left alone, the kernel would go on accepting for as long as the last request takes, and then end those connections.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                while self.take_in(listener):
                    pass
                listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Connections that have sent nothing yet hold up the end no longer than idle ones."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    # They wait

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
            self.say_farewell(conn)
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
        """More has come of a request that wasn't whole."""
        sock = conn.sock
        if sock.is_ready():
            self.forget(conn)
            self.enqueue_req(conn)
            return
        self.slow.add(conn, sock.deadline, sock.kept)
        if self.slow.size + self.sending.size > MOST_HELD:
            self.refuse_late(next(iter(self.slow.until)))

    def on_writable(self, conn: Any, _sock: Any) -> None:
        """More of an answer can be sent."""
        sock = conn.sock
        try:
            sent = sock.push()
        except Gone:
            self.log.info("%s: %s", conn.client[0], sock.failure)
            self.forget(conn)
            self.drop(conn)
            return
        if sock.unsent:
            # As much time more as a client may need that is just not too slow.
            now = time.monotonic()
            until = min(now + sock.patience, self.sending.until[conn] + sent / SLOWEST)
            self.sending.add(conn, until, len(sock.unsent))
            return
        self.forget(conn)
        if sock.keeps and sock.has_begun and sock.is_ready():
            self.enqueue_req(conn)
        else:
            self.wait_for(conn)

    def say_farewell(self, conn: Any) -> None:
        """Let a client read the last answer before its connection is closed."""
        sock = conn.sock
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.has_ended = True
        if sock.has_ended:
            self.drop(conn)
            return
        conn.drained = 0
        self.leaving.add(conn, time.monotonic() + FAREWELL)
        self.poll(conn, selectors.EVENT_READ, self.on_leaving_readable)

    def on_leaving_readable(self, conn: Any, _sock: Any) -> None:
        """A client whose connection ends has closed it, or still sends."""
        came = conn.sock.drained()
        conn.drained += came
        if came < 0 or conn.drained > MOST_DRAINED:
            self.forget(conn)
            self.drop(conn)

    def refuse_late(self, conn: Any) -> None:
        """Refuse a request that isn't whole in its time."""
        self.forget(conn)
        self.log.info("a request from %s didn't come in time", conn.client[0])
        conn.sock.try_to_send(refusal(TimeoutError()))
        self.say_farewell(conn)

    def murder_pending(self) -> None:
        """End those whose time is up."""
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
            self.log.info("%s: the client took its answer too slowly", conn.client[0])
            self.forget(conn)
            self.drop(conn)
        for conn in self.leaving.late(now):
            self.forget(conn)
            self.drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Those whose time is up end with the others; at the end, all."""
        while force and self.keepalived_conns:
            conn = self.keepalived_conns[0]
            self.forget(conn)
            self.drop(conn)
