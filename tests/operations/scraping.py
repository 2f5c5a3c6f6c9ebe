"""Reading a server's metrics as Prometheus does."""

import threading
import time
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.serving import Server

Labels = frozenset[tuple[str, str]]


class Scrape(dict[tuple[str, Labels], float]):
    """Name and labels of each sample, to its value."""

    def value(self, name: str, **labels: str) -> float:
        """Of the one series with just these labels; 0 if there is none."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def series(self, name: str) -> list[dict[str, str]]:
        """The labels of each series of that name."""
        return [dict(labels) for own, labels in self if own == name]


def parsed(text: str) -> Scrape:
    families = text_string_to_metric_families(text)
    return Scrape({(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples})


def scrape(server: Server, **headers: str) -> Scrape:
    """What any of the server's processes answers."""
    status, body = server.get("/metrics", **headers)
    assert status == 200, body
    return parsed(body.decode())


def until(server: Server, name: str, enough: Any, patience: float = 30.0, **labels: str) -> Scrape:
    """A scrape in which that series is as it should be; it fails if it doesn't come to that."""
    deadline = time.monotonic() + patience
    while True:
        found = scrape(server)
        if enough(found.value(name, **labels)):
            return found
        assert time.monotonic() < deadline, f"{name}{labels} is {found.value(name, **labels)}"
        threading.Event().wait(0.1)
