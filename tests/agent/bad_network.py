"""A bad network between an agent and its server: a proxy that loses, repeats, delays and reorders requests and answers."""

import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FATES = ("lost request", "lost answer", "repeated", "late", "slow")


class BadNetwork:
    """The proxy.

    Parameters
    ----------
    target
        The server's address.
    share
        Share of the requests that meet one of `FATES`.
    seed
        Of the fates.

    Attributes
    ----------
    cut
        Whether nothing passes.
    met
        How many requests met each fate.
    """

    def __init__(self, target: str, share: float, seed: int) -> None:
        self.cut, self.met = False, Counter()
        chance, place, owner = random.Random(seed), urlsplit(target).netloc, self
        mutex = threading.Lock()

        def forward(method, path, body, headers):
            connection = http.client.HTTPConnection(place, timeout=60)
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.getheader("Content-Type")
            finally:
                connection.close()

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = self.command, self.path, body, dict(self.headers)
                with mutex:
                    fate = chance.choice(FATES) if chance.random() < share else "passes"
                fate = "cut" if owner.cut else fate
                owner.met[fate] += 1
                self.close_connection = True
                if fate in ("cut", "lost request"):
                    return
                if fate == "late":  # it arrives when others that were sent after it have arrived
                    threading.Timer(1.5, forward, asked).start()
                    return
                status, content, kind = forward(*asked)
                if fate == "lost answer":
                    return
                if fate == "repeated":
                    status, content, kind = forward(*asked)
                if fate == "slow":
                    time.sleep(1)
                self.send_response(status)
                self.send_header("Content-Type", kind or "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
