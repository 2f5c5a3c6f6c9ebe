"""HTTP responses while the server starts: 503 for all requests; probes also get the reason."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from server.core.db.database_state import DatabaseState
from server.core.probe_paths import PROBE_PATHS

STARTING = "starting"
LONGEST_ANSWER = 2.0
"""Seconds that :meth:`StartupResponder.close` waits for responses in progress."""

MOST_READ = 2**16
"""Largest number of bytes of a body that are read, so that the client reads the response."""


class StartupResponder:
    """Answers on the server's address from :meth:`open` to :meth:`close`, in a thread.

    Every response is a 503, also for ``/healthz``, so that probes keep waiting. Responses to probes contain the reason.

    Parameters
    ----------
    bind
        ``HOST:PORT``.
    """

    def __init__(self, bind: str) -> None:
        host, _, port = bind.rpartition(":")
        self._address = host.strip("[]"), int(port)
        self._server: ThreadingHTTPServer | None = None
        self.state = DatabaseState(STARTING)

    def open(self, state: DatabaseState) -> None:
        """Answer with this state from now on. If the address can't be bound, the server itself reports that later."""
        self.state = state
        if self._server is not None:
            return
        room = self

        class Handler(_Handler):
            @property
            def state(self) -> DatabaseState:
                return room.state

        with contextlib.suppress(OSError):
            self._server = (_IPv6Server if ":" in self._address[0] else _Server)(self._address, Handler)
            threading.Thread(
                target=self._server.serve_forever, args=(0.05,), name="startup responder", daemon=True
            ).start()

    def close(self) -> None:
        """Release the address for the server."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for responses in progress

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
        """Wait for responses in progress, and disconnect clients that are slower than :data:`LONGEST_ANSWER`."""
        last_call = threading.Timer(LONGEST_ANSWER, self._cut_off)
        last_call.start()
        super().server_close()
        last_call.cancel()

    def _cut_off(self) -> None:
        for request in list(self._inside):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: the client disconnected."""

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own would look up the host name
        self.server_name, self.server_port = "", 0


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server_version = "Tailrace"
    sys_version = ""
    timeout = 1  # seconds to wait for a silent client
    wbufsize = -1  # sends a response in one piece
    state: Any

    def _answer(self) -> None:
        with contextlib.suppress(ValueError):
            self.rfile.read(min(MOST_READ, int(self.headers.get("Content-Length") or 0)))
        content: dict[str, Any]
        if self.path.partition("?")[0] in PROBE_PATHS:
            content = self.state._asdict()
        else:
            message = f"the server is starting: {self.state.reason}; try again"
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
        """Log nothing: the start already logs what it waits for."""
