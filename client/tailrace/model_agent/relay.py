"""`Relay`: HTTP requests to a container without network, by a small program that runs in it."""

from __future__ import annotations

import contextlib
import json
import queue
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tailrace.model_agent.engine import Engine

__all__ = ["LARGEST_ANSWER", "NoAnswer", "Relay", "RelayPool", "Reply"]

LARGEST_ANSWER = 16 * 2**20
MOST_RELAYS = 4

PROGRAM = """
import http.client, json, struct, sys
port, limit = int(sys.argv[1]), int(sys.argv[2])
given, out = sys.stdin.buffer, sys.stdout.buffer
def take(n):
    data = given.read(n)
    if len(data) != n:
        sys.exit()
    return data
while True:
    head = json.loads(take(struct.unpack(">I", take(4))[0]))
    body = take(head["length"])
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=head["seconds"])
        connection.request(head["method"], head["path"], body or None, head["headers"])
        response = connection.getresponse()
        answer = {"status": response.status, "type": response.getheader("Content-Type") or ""}
        content = response.read(limit + 1)
        connection.close()
    except Exception as error:
        answer, content = {"status": 0, "type": "", "error": type(error).__name__ + ": " + str(error)}, b""
    answer["length"] = len(content)
    text = json.dumps(answer).encode()
    out.write(struct.pack(">I", len(text)) + text + content)
    out.flush()
"""
"""What runs in the container: it takes requests from its standard input, one by one. Its Python may be old."""


class NoAnswer(Exception):
    """A service gave no answer that can be used. The message says why."""


@dataclass(frozen=True)
class Reply:
    """An answer of a service."""

    status: int
    type: str
    content: bytes


class Relay:
    """One relay in one container: a request at a time."""

    def __init__(self, engine: Engine, container: str, port: int) -> None:
        self._socket = engine.open_process(container, ["python3", "-c", PROGRAM, str(port), str(LARGEST_ANSWER)])
        self._buffer = bytearray()

    def ask(self, method: str, path: str, content: bytes, content_type: str, seconds: float) -> Reply:
        """Send a request, and return the answer.

        Raises
        ------
        NoAnswer
            If there is none within ``seconds``, or it makes no sense. The relay can't be used any more then.
        """
        headers = {"Content-Type": content_type} if content else {}
        head = {"method": method, "path": path, "headers": headers, "length": len(content), "seconds": seconds}
        text = json.dumps(head).encode()
        until = time.monotonic() + seconds + 2
        try:
            self._socket.settimeout(seconds + 2)
            self._socket.sendall(struct.pack(">I", len(text)) + text + content)
            (length,) = struct.unpack(">I", self._take(4, until))
            if length > 10_000:
                raise NoAnswer("the container answers nonsense")
            answer = json.loads(self._take(length, until))
            status, size, kind = int(answer["status"]), int(answer["length"]), str(answer["type"])
            if not 0 <= size <= LARGEST_ANSWER:
                raise NoAnswer(f"the answer is longer than {LARGEST_ANSWER} bytes")
            content = self._take(size, until)
        except TimeoutError:
            raise NoAnswer(f"no answer within {seconds:g} s") from None
        except OSError as error:
            raise NoAnswer(f"the connection into the container broke: {error}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoAnswer(f"the container answers nonsense: {type(error).__name__}") from error
        if status == 0:
            why = str(answer.get("error", "no answer"))[:300]
            raise NoAnswer(f"no answer within {seconds:g} s" if why.startswith(("TimeoutError", "timeout")) else why)
        return Reply(status, kind, content)

    def _take(self, count: int, until: float) -> bytes:
        """Return the next bytes of standard output. The engine sends them in frames, of 8 bytes and a part."""
        while len(self._buffer) < count:
            kind, length = struct.unpack(">B3xI", self._received(8, until))
            if kind != 1 or length > 2**24:
                raise ValueError("not a frame")
            self._buffer += self._received(length, until)
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _received(self, count: int, until: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            part = self._socket.recv(count - len(parts))
            if not part:
                raise OSError("python3 is not in the image, or the container has ended")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class RelayPool:
    """Relays of one container, so that several requests may be under way."""

    def __init__(self, engine: Engine, container: str, port: int) -> None:
        self._engine, self._container, self._port = engine, container, port
        self._free: queue.SimpleQueue[Relay] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(MOST_RELAYS)
        self._closed = False

    def ask(self, method: str, path: str, content: bytes, content_type: str, seconds: float) -> Reply:
        """As :meth:`Relay.ask`, by a relay that is free. EngineError if no relay can be started."""
        with self._relay(seconds) as relay:
            return relay.ask(method, path, content, content_type, seconds)

    @contextlib.contextmanager
    def _relay(self, seconds: float) -> Iterator[Relay]:
        if not self._room.acquire(timeout=seconds):
            raise NoAnswer(f"{MOST_RELAYS} requests are under way already")
        relay: Any = None
        try:
            try:
                relay = self._free.get_nowait()
            except queue.Empty:
                relay = Relay(self._engine, self._container, self._port)
            yield relay
            if self._closed:
                relay.close()
            else:
                self._free.put(relay)
        except BaseException:
            if relay is not None:
                relay.close()
            raise
        finally:
            self._room.release()

    def close(self) -> None:
        """Close all relays; those under way are closed when they end."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._free.get_nowait().close()
