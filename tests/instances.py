"""Several servers on one PostgreSQL, as pods are: a process tree, a directory and an address each; and one address for all."""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.serving import PATIENCE, Server


@contextlib.contextmanager
def instances(directory: Path, database: str, *settings: dict[str, Any]) -> Iterator[list[Server]]:
    """Servers on one database, one for each of ``settings``, started at the same time, and gone at the end.

    The list may grow: whatever is in it then goes, too.
    """
    servers = [Server(directory / f"instance-{number}", database, **own) for number, own in enumerate(settings)]
    try:
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(Server.start, servers))
        yield servers
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.kill()


class Service:
    """One address for several servers, as a Service of Kubernetes is: each new connection goes to the next of them.

    It knows nothing of HTTP. A connection stays with its server until one of both ends it; one that no server accepts is
    reset.

    Parameters
    ----------
    ports
        Of this machine, of the servers that are ready.
    """

    def __init__(self, ports: list[int]) -> None:
        self._lock = threading.Lock()
        self._ports = list(ports)
        self._turns = itertools.count()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in accept()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def add(self, port: int) -> None:
        """New connections may go there from now on."""
        with self._lock:
            self._ports.append(port)

    def remove(self, port: int) -> None:
        """No new connection goes there any more; those that are open stay."""
        with self._lock:
            self._ports.remove(port)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            with self._lock:
                port = self._ports[next(self._turns) % len(self._ports)]
            try:
                server = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            with server, self._noted(client, server):
                server.settimeout(None)
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()

    @contextlib.contextmanager
    def _noted(self, *connections: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.update(connections)
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(connections)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """What one side sends, to the other, until it ends."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)
