"""Clusters of a demo: adding one to the server, and waiting for its agent."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from tailrace.errors import Conflict
from tailrace.handles.client import Client

__all__ = ["DemoFailed", "add_cluster", "wait_for_programs"]

READY_LIMIT = 120.0


class DemoFailed(Exception):
    """The demo can't go on. The message says why and which file to read."""


def add_cluster(admin: Client, first: str, title: str, streams: Sequence[str]) -> tuple[str, str]:
    """Add a cluster under the first free name, which may post to some streams, and return name and token."""
    for number in itertools.count(1):
        name = first if number == 1 else f"{first}-{number}"
        body = {"name": name, "title": title, "streams": list(streams)}
        try:
            return name, str(admin.send("POST", admin.path("clusters"), body)["token"])
        except Conflict:
            continue
    raise AssertionError("numbers do not end")


def wait_for_programs(owner: Client, cluster: str, programs: Sequence[str], alive: Callable[[], str | None]) -> None:
    """Wait until the cluster's agent has told the server what it can run.

    Parameters
    ----------
    programs
        Names of the programs that it should offer.
    alive
        Returns why the agent has ended; None if it runs.

    Raises
    ------
    DemoFailed
        If the agent ends, or does not tell it in time.
    """
    ends = time.monotonic() + READY_LIMIT
    while True:
        found = owner.send("GET", owner.path("programs"))["programs"]
        ready = {one["name"] for one in found if any(place["name"] == cluster for place in one["clusters"])}
        if set(programs) <= ready:
            return
        if (why := alive()) is not None:
            raise DemoFailed(f"the agent of {cluster} has ended: {why}")
        if time.monotonic() > ends:
            raise DemoFailed(
                f"the agent of {cluster} offers {', '.join(sorted(ready)) or 'nothing'}: expected {', '.join(programs)}"
            )
        time.sleep(0.3)
