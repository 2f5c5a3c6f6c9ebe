"""256 ranks log to one run at once, through real server processes that are killed meanwhile."""

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving import Server, fresh_database
from tests.tracking.served import UID, metrics

pytestmark = pytest.mark.database
WRITERS, LINES = 256, 6


class Rank:
    """A rank with a spool of its own, which sends until all of it has arrived."""

    def __init__(self, url, number):
        self.url, self.number, self.next = f"{url}/api/v1/runs/{UID}/lines/", number, 0
        self.lines = [
            metrics(step, loss=self.number + step / 8, **{f"own/{number % 16}": 1.0}) for step in range(LINES)
        ]

    def send_all(self):
        while self.next < LINES:
            lines = self.lines[self.next : self.next + 2]
            body = json.dumps({"writer": f"rank {self.number}", "first": self.next, "lines": lines}).encode()
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, body), timeout=60) as answer:
                    found = json.load(answer)
                assert found["refused"] == []
                self.next = found["next"]
            except urllib.error.HTTPError as error:
                if error.code == 409:
                    self.next = json.load(error)["next"]
                elif error.code != 503:
                    raise
            except OSError:  # the server is away: what arrived is not known
                threading.Event().wait(0.1)


def test_256_ranks_log_to_one_run_and_nothing_is_lost_or_doubled(tmp_path):
    with fresh_database("tracking") as database:
        server = Server(tmp_path / "var", database, workers=2, threads=8).start()
        try:
            made = urllib.request.Request(f"{server.url}/api/v1/runs/{UID}/", b'{"experiment": "ranks"}', method="PUT")
            with urllib.request.urlopen(made, timeout=60) as answer:
                assert answer.status == 201
            ranks = [Rank(server.url, number) for number in range(WRITERS)]
            with ThreadPoolExecutor(32) as pool:
                sent = [pool.submit(rank.send_all) for rank in ranks]
                sent[20].result()
                server.kill()
                server.start()
                for one in sent:
                    one.result()
            points = server.get(f"/api/v1/runs/{UID}/history/?key=loss&limit=10000")[1]["points"]
            expected = sorted((step, number + step / 8) for number in range(WRITERS) for step in range(LINES))
            assert [(point["step"], point["value"]) for point in points] == expected
            latest = server.get(f"/api/v1/runs/{UID}/")[1]["metrics"]
            assert latest["loss"]["value"] == WRITERS - 1 + (LINES - 1) / 8
            assert len(latest) == 17
        finally:
            server.kill()
