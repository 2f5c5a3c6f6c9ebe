"""Who answers while a server starts: probes hear that it does and what it waits for, everybody else to try again."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from server.database_state import State
from server.probes import PROBES

STARTING = "starting"
LONGEST_ANSWER = 2.0
"""Seconds that the server waits, once it can begin, for those who are still being answered."""

MOST_READ = 2**16
"""Bytes of a body that are read, so that its sender gets to read the answer."""


class WaitingRoom:
    """Answers on the server's address from :meth:`open` to :meth:`close`, in a thread.

    All is 503: whoever waits for the server by asking ``/healthz`` waits on. Probes are told what it waits for.

    Parameters
    ----------
    bind
        ``HOST:PORT``.
    """

    def __init__(self, bind: str) -> None:
        host, _, port = bind.rpartition(":")
        self._address = host.strip("[]"), int(port)
        self._server: ThreadingHTTPServer | None = None
        self.state = State(STARTING)

    def open(self, state: State) -> None:
        """Answer so from now on. An address that is not to be had is for the server to complain of, later."""
        self.state = state
        if self._server is not None:
            return
        room = self

        class Handler(_Handler):
            @property
            def state(self) -> State:
                return room.state

        with contextlib.suppress(OSError):
            self._server = (_IPv6Server if ":" in self._address[0] else _Server)(self._address, Handler)
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="waiting room", daemon=True).start()

    def close(self) -> None:
        """Leave the address to the server."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # who is being answered when it closes is answered to the end

    def __init__(self, *arguments: Any) -> None:
        self._inside: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._inside.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._inside.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Wait for those inside; who sends a byte now and then, or reads nothing, is cut off and keeps no server waiting."""
        last_call = threading.Timer(LONGEST_ANSWER, self._cut_off)
        last_call.start()
        super().server_close()
        last_call.cancel()

    def _cut_off(self) -> None:
        for request in list(self._inside):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: whoever has gone asks again."""

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # its base asks the network what the address is called
        self.server_name, self.server_port = "", 0


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server_version = "Tailrace"
    sys_version = ""
    timeout = 1  # seconds that a start waits for who says nothing
    wbufsize = -1  # an answer goes out whole
    state: Any

    def _answer(self) -> None:
        with contextlib.suppress(ValueError):
            self.rfile.read(min(MOST_READ, int(self.headers.get("Content-Length") or 0)))
        content: dict[str, Any]
        if self.path.partition("?")[0] in PROBES:
            content = self.state._asdict()
        else:
            message = f"the server is starting, and doesn't serve yet: {self.state.reason}; try again"
            content = {"message": message, "error": {"code": "unavailable", "message": message, "request_id": "-"}}
        body = json.dumps(content).encode()
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Retry-After", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the log says already what is waited for."""
