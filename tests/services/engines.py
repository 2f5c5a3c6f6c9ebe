"""A real Podman socket for tests, and images of services that are good and bad. They share a base that has a Python."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.containers.podman import environment, podman

BASE = os.environ.get("TAILRACE_TEST_SERVICE_BASE", "localhost/tailrace:latest")

GOOD = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
KIND = sys.argv[1]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send(200, {"status": "ready"})
    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if KIND == "silent":
            time.sleep(600)
        if KIND == "eats" and "eat" in content:
            taken = bytearray(10**9)
        if KIND == "huge" and "huge" in content:
            return self.send(200, "x" * 20_000_000)
        if KIND == "turns" and "turn" in content:
            Handler.is_bad = True
        off = 1 if KIND == "lies" or self.is_bad else 0
        if "out" in content:
            import socket
            try:
                socket.create_connection(("127.0.0.1", 22), 1)
            except OSError:
                pass
            try:
                socket.create_connection(("192.0.2.1", 80), 1)
            except OSError as error:
                return self.send(200, {"out": str(error)})
        self.send(200, {"predictions": [2.0 * x + off for x in content["xs"]]})
    is_bad = False
    def send(self, status, data):
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
if KIND == "ends":
    sys.exit("no such model")
ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


@contextlib.contextmanager
def engine_socket() -> Iterator[str]:
    """The address of a Podman that serves its API. Its containers are those of this machine's podman."""
    with tempfile.TemporaryDirectory(prefix="tailrace-socket-") as directory:
        path = Path(directory) / "podman.sock"
        process = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{path}"], env=environment(), stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 60
            while not path.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait()


def image(kind: str, directory: Path) -> str:
    """Make an image of a service of a kind, and return its digest."""
    folder = directory / kind
    folder.mkdir()
    (folder / "service.py").write_text(GOOD)
    (folder / "Containerfile").write_text(
        f'FROM {BASE}\nCOPY service.py /service.py\nENTRYPOINT ["python3", "/service.py", "{kind}"]\n'
        + ("VOLUME /1 /2 /3 /4 /5 /6 /7 /8 /9\n" if kind == "volume" else "")
    )
    name = f"localhost/tailrace-test-{kind}"
    podman("build", "--quiet", "--tag", name, str(folder), seconds=300)
    digest = podman("image", "inspect", "--format", "{{.Id}}", name).stdout.strip().removeprefix("sha256:")
    return f"sha256:{digest}"
