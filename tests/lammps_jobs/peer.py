"""A server that misbehaves on demand, for what must hold whatever a server does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Peer:
    """A server that answers as told and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, dict[str, str], dict]] = []
        self.slow = False
        self.end = threading.Event()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                peer.requests.append((self.path, dict(self.headers), body))
                answer = peer.answers.pop(0) if peer.answers else created(len(peer.requests))
                status, headers, content = answer
                if peer.slow:
                    self.trickle()
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def trickle(self) -> None:
                """A byte now and then: each restarts a timeout of the socket."""
                self.wfile.write(b"HTTP/1.1 201 Created\r\nX-Slow: ")
                while not peer.end.wait(0.05):
                    self.wfile.write(b"z")

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.end.set()
        self.http.shutdown()
        self.http.server_close()

    @property
    def keys(self) -> list[str]:
        bodies = [body for _, _, body in self.requests]
        return [one["key"] for body in bodies for one in body.get("observations", [body])]


def created(seq: int) -> tuple[int, dict[str, str], bytes]:
    return 201, {}, json.dumps({"first": seq, "last": seq, "accepted": 1, "duplicates": 0, "models": {}}).encode()


def error(status: int, message: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps({"error": {"code": "invalid", "message": message}}).encode()
