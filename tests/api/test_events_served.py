"""Server-sent events of real servers: the same from every worker, and with an end."""

import contextlib
import http.client
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api_client import Event, parsed
from tests.serving import Server

pytestmark = pytest.mark.database

NATIVE, OLD = "/api/v1/events/", "/api/stream/events/"


class Wire:
    """A client of a real server's event stream."""

    def __init__(self, server: Server, path: str, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        self.events = self._read()

    def _read(self) -> Iterator[Event]:
        lines: list[str] = []
        for raw in self.answer:
            line = raw.decode().rstrip("\n")
            if line and not line.startswith(":"):
                lines.append(line)
            elif lines:
                yield parsed("\n".join(lines))
                lines = []

    def take(self, count: int) -> list[Event]:
        return list(itertools.islice(self.events, count))

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def test_every_worker_tells_the_same_events_in_the_same_order(server):
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "y", "unit": "s"}})
    server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "linear"})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(contextlib.closing(Wire(server, NATIVE))) for _ in range(3)]

        def post(worker: int) -> None:
            for n in range(15):
                body = {"x": {"a": float(n), "worker": worker}, "y": float(n)}
                assert server.post("/api/v1/streams/s/observations/", body)[0] == 201
                assert server.post("/api/v1/models/m/predict/", {"x": body["x"], "track": True})[0] == 200

        threads = [threading.Thread(target=post, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        told = [wire.take(120) for wire in wires]
        for thread in threads:
            thread.join()
        assert all(one == told[0] for one in told[1:])
        assert [event.data["seq"] for event in told[0] if event.kind == "learn"] == list(range(1, 61))
        assert sum(event.kind == "predict" for event in told[0]) == 60
        middle = told[0][59].id
        resumed = stack.enter_context(contextlib.closing(Wire(server, NATIVE, **{"Last-Event-ID": middle})))
        assert resumed.take(60) == told[0][60:]


@pytest.mark.one_database  # in a cluster of PostgreSQL's any test's open transaction holds back events, which granian needs
@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_a_client_that_has_gone_makes_room_for_another(serve, kind):
    server = serve(server=kind, workers=1, threads=4, event_streams=1)
    for n in range(3):
        # On gunicorn the closed connection is seen; on granian something has to be sent, and be it a heartbeat.
        wire = opened(server, send_meanwhile=kind == "granian")
        assert server.get(OLD)[0] == 503
        server.post("/api/v1/streams/s/observations/", {"x": {"a": n}, "y": n})
        assert wire.take(1)[0].data["y"] == n
        wire.close()


def opened(server: Server, send_meanwhile: bool) -> Wire:
    """An event stream, as soon as there is room; well before the heartbeat."""
    for _ in range(80):
        with contextlib.suppress(AssertionError):
            return Wire(server, NATIVE)
        if send_meanwhile:
            server.post("/api/v1/streams/other/observations/", {"x": {"a": 1}, "y": 1})
        threading.Event().wait(0.1)
    raise AssertionError("the place of a client that has gone is not given free")


@pytest.mark.one_database  # it is about connections and processes
@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_a_server_with_listeners_stops_at_once(serve, kind):
    server = serve(server=kind, workers=1, threads=8)
    wires = [Wire(server, NATIVE) for _ in range(4)]
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(server.stop)
        for wire in wires:
            assert wire.take(1) == []
        assert stopped.result() == 0
    assert time.monotonic() - begun < 20  # the streams themselves would go on, and a worker waits 30 s for them
    for wire in wires:
        wire.close()
