"""`Proxy`: takes requests for services from the server, which shows the secret that the agent told it."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tailrace.model_agent.relay import NoAnswer, Reply

__all__ = ["Proxy"]

LARGEST_BODY = 4 * 2**20
LONGEST = 120.0
MOST = 32
Ask = Callable[[str, bytes, str, float], Reply]


class Proxy(ThreadingHTTPServer):
    """Serves ``POST /services/NAME/invocations``.

    Parameters
    ----------
    ask
        Passes a request on: service, body, content type and seconds. Raises KeyError if there is no such service, NoAnswer if it
        gives no answer.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, secret: str, ask: Ask) -> None:
        if ":" in host:
            import socket

            self.address_family = socket.AF_INET6
        self.secret, self.ask = secret, ask
        self.room = threading.BoundedSemaphore(MOST)
        super().__init__((host, port), _Handler)

    def start(self) -> None:
        """Serve from a thread."""
        threading.Thread(target=self.serve_forever, name="proxy", daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a connection that broke is the server's matter."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    server_version, sys_version = "tailrace-model-agent", ""
    timeout = 30

    def do_POST(self) -> None:
        shown = self.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode(errors="replace"), f"Bearer {self.server.secret}".encode()):
            return self._answer(401, "the secret is wrong")
        parts = self.path.split("/")
        if len(parts) != 4 or parts[1] != "services" or parts[3] != "invocations":
            return self._answer(404, "there is no such address")
        try:
            length = int(self.headers.get("Content-Length", ""))
            seconds = min(max(float(self.headers.get("X-Tailrace-Seconds", "10")), 0.1), LONGEST)
        except ValueError:
            return self._answer(411, "expected a Content-Length")
        if not 0 <= length <= LARGEST_BODY:
            return self._answer(413, f"the most allowed is {LARGEST_BODY} bytes")
        if not self.server.room.acquire(blocking=False):
            return self._answer(503, f"{MOST} requests are under way already")
        try:
            content = self.rfile.read(length)
            kind = self.headers.get("Content-Type", "application/json")
            reply = self.server.ask(unquote(parts[2]), content, kind, seconds)
        except KeyError:
            return self._answer(404, "there is no such service")
        except NoAnswer as error:
            return self._answer(504, str(error))
        finally:
            self.server.room.release()
        return self._send(reply.status, reply.type, reply.content)

    def _answer(self, status: int, message: str) -> None:
        self.close_connection = True
        self._send(status, "application/json", json.dumps({"error": message}).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Tailrace-Agent", "1")
        self.send_header("Content-Type", kind.replace("\r", "").replace("\n", "")[:100] or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Log nothing: the server has the requests."""
