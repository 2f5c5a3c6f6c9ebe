"""The campaign of the demo: what it is created with, and following it to its end, with a person's approvals."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tailrace.errors import Conflict, TailraceError
from tailrace.handles.client import Client

from lammps_jobs.bonds.descriptors.definition import DEFAULT
from lammps_jobs.campaign_demo.screen import Screen
from lammps_jobs.demo_support.clusters import DemoFailed

__all__ = ["PROGRAMS", "DemoCampaign", "settings"]

PROGRAMS = ("glass", "deform", "bond-labels")
COMPOSITIONS = ("Cu50Zr50", "Cu64Zr36")
TARGETS = {"Cu-Cu": 0.25, "Zr-Cu": 0.21, "Zr-Zr": 0.25}
"""RMSE to reach, eV. One is out of reach, so that the policy has to try something else."""
THRESHOLDS = {"batch": 3}
GLASS = {"atoms": 32, "melt": 2.0, "hold": 1.0, "rate": 500}
LABELS = {"longest": 3.9, "temperature": 1000}
ACTIVE = "active"


def settings(target: float | None, calculations: int) -> dict[str, Any]:
    """Return what a campaign of the demo is created with: all but its name, stream, model and cluster.

    Parameters
    ----------
    target
        RMSE to reach for each bond type, eV; None for :data:`TARGETS`.
    calculations
        The budget.
    """
    return {
        "compositions": list(COMPOSITIONS), "targets": TARGETS if target is None else dict.fromkeys(TARGETS, target),
        "thresholds": THRESHOLDS, "budget": {"calculations": calculations},
        "programs": {"explore": {"parameters": GLASS}, "label": {"parameters": LABELS}},
    }  # fmt: skip


@dataclass
class DemoCampaign:
    """A campaign on a stream of its own.

    Attributes
    ----------
    owner
        Client of the person who creates it.
    moderator
        Client of the person who approves.
    """

    owner: Client
    moderator: Client
    name: str
    cluster: str

    @classmethod
    def create(cls, owner: Client, moderator: Client, cluster: str, asked: dict[str, Any]) -> DemoCampaign:
        """Create descriptor, stream, model, compositions and campaign, under the first free name.

        Parameters
        ----------
        asked
            What the campaign is created with (:func:`settings`).
        """
        definition = {name: value for name, value in DEFAULT.as_json().items() if name != "name"}
        _post(owner, "descriptors", {"name": DEFAULT.name, "content": definition})
        for composition in asked["compositions"]:
            _post(owner, "compositions", {"name": composition})
        for number in itertools.count(1):
            name = f"demo-{number}"
            stream = {
                "name": f"bonds-{name}", "target": {"name": "-ICOHP", "unit": "eV"}, "segment": "bond",
                "descriptor": DEFAULT.name,
            }  # fmt: skip
            if _post(owner, "streams", stream):
                break
        _post(owner, "models", {"name": f"gpr-{name}", "stream": f"bonds-{name}", "recipe": "bond-gpr"})
        body = {"name": name, "stream": f"bonds-{name}", "models": [f"gpr-{name}"], "clusters": [cluster]}
        owner.send("POST", owner.path("campaigns"), body | asked)
        return cls(owner, moderator, name, cluster)

    def info(self) -> Any:
        return self.owner.send("GET", self.owner.path("campaigns", self.name))

    def listed(self, what: str) -> list[Any]:
        """Return its ``runs``, or the ``rounds`` of its history, or its ``decisions``."""
        path = self.owner.path("campaigns", self.name, "history" if what == "rounds" else what)
        return list(self.owner.send("GET", path)[what])

    def follow(self, screen: Screen, seconds: float, check: Callable[[int], None]) -> Any:
        """Approve each proposal, and show what happens, until the campaign ends. Return its last description.

        Parameters
        ----------
        seconds
            After so many seconds a person stops the campaign, and the demo shows what it has.
        check
            Called with the number of ended runs, a few times a second.

        Raises
        ------
        DemoFailed
            If it has not ended one minute after it was stopped.
        """
        ends, ended, decided = time.monotonic() + seconds, set[tuple[int, int]](), 0
        is_stopped = False
        while True:
            try:
                check(len(ended))
                now, runs = self.info(), self.listed("runs")
                proposal = now["proposal"]
                if proposal is not None and proposal["round"] > decided:
                    screen.proposal(proposal)
                    self._approve(proposal, screen)
                    decided = proposal["round"]
                for run in runs:
                    key = (run["number"], run["attempt"])
                    if run["state"] in ("DONE", "FAILED") and key not in ended:
                        ended.add(key)
                        screen.ended(run)
                if now["state"] != ACTIVE and all(run["state"] in ("DONE", "FAILED") for run in runs):
                    return now
                if time.monotonic() > ends and not is_stopped:
                    is_stopped = True
                    self._post("stop", {"reason": f"the demo's {seconds:.0f} s are over"})
            except TailraceError as error:
                # The server is just being started again after a kill.
                if time.monotonic() > ends + 60:
                    raise DemoFailed(f"the server does not answer: {error}") from error
            if time.monotonic() > ends + 60:
                raise DemoFailed(f"campaign {self.name} has not ended: see its page")
            time.sleep(0.5)

    def _approve(self, proposal: Any, screen: Screen) -> None:
        if proposal["state"] != "proposed" or not proposal["picks"]:
            return
        try:
            self._post(f"decisions/{proposal['round']}/approve", {"comment": "approved by the demo's script"})
            screen.approved(proposal["round"])
        except Conflict:
            screen.note(f"Round {proposal['round']} was approved before the server was killed.")

    def _post(self, what: str, body: dict[str, Any]) -> None:
        self.moderator.send("POST", self.moderator.path("campaigns", self.name, *what.split("/")), body)


def _post(owner: Client, kind: str, body: dict[str, Any]) -> bool:
    """Create something. Return whether it is new."""
    try:
        owner.send("POST", owner.path(kind), body)
    except Conflict:
        return False
    return True
