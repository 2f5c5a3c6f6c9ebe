"""The demo's stream and models on a server: made once, fed cell by cell, asked about bonds that they never learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from tailrace import Client
from tailrace.errors import Refused as ServerRefused
from tailrace.server import Server
from tailrace.spool import write_whole

from lammps_jobs.bonds.cell import features
from lammps_jobs.bonds.definition import DEFAULT
from lammps_jobs.bonds.demo_plan import BondsPlan, Directory
from lammps_jobs.bonds.evaluation import Bonds
from lammps_jobs.bonds.ingest import Ingest
from lammps_jobs.bonds.soap import Descriptor
from lammps_jobs.bonds.strengths import strengths
from lammps_jobs.plan import PlanError, read_json

__all__ = ["BondStream", "Said", "with_free_names"]

PATIENCE = 300.0
"""Seconds for a request: a forest takes a while to learn or answer some hundred bonds."""
LEVEL = 0.95
MOST_RUNS = 1000


@dataclass(frozen=True)
class Said:
    """What the models said of n held-out bonds once they had learned some cells.

    Attributes
    ----------
    predictions
        By recipe, -ICOHP in eV, shape (n,); nan for a type of bond that was not learned.
    intervals
        95 % intervals of the recipe that has some, in eV, shape (n, 2); nan where it has none.
    """

    predictions: dict[str, np.ndarray]
    intervals: np.ndarray


class BondStream:
    """One plan's stream and models on one server. Its methods raise what `Server.request` raises.

    Parameters
    ----------
    server
        With a token that may make streams and models, learn and ask.
    """

    def __init__(self, plan: BondsPlan, server: Server) -> None:
        self._plan = plan
        self._server = server
        self._client = Client(server.url, server.token, deadline=PATIENCE)
        self._ingest = Ingest(server, plan.stream, Descriptor(DEFAULT))
        for recipe, model in plan.models.items():
            if not _exists(server, "models", model):
                self._client.create(model, plan.stream, recipe)

    def learn(self, cell: Path) -> bool:
        """Post a labeled cell's bonds, unless they are there, and say whether they were posted now."""
        return self._ingest.post(cell).what == "posted"

    def last(self, cell: str) -> int:
        """The number of the last observation of a cell that was learned."""
        path = f"/api/v1/streams/{quote(self._plan.stream)}/cells/{quote(cell)}/"
        return int(self._server.request("GET", path, deadline=PATIENCE)["last"])

    def log(self) -> list[dict[str, Any]]:
        """All observations in order, with what each model had predicted before it learned them."""
        return list(self._client.stream(self._plan.stream).observations())

    def estimator(self, recipe: str, at: int | None = None) -> Any:
        """A model to ask without the server, as it was after observation `at`; now, if that is None."""
        model = self._client.model(self._plan.models[recipe])
        return (model if at is None else model.as_of(at)).download()

    def said(self, bonds: Bonds, directory: Directory, name: str, last: int) -> Said:
        """What the models say of held-out bonds after observation `last`, that of the last bond of the cell `name`.

        It is kept, and asked for once: from the server while it has learned nothing more, from the model as it was
        then otherwise.
        """
        path = directory.heldout(name)
        kept = read_json(path)
        if kept is None or kept["at"] != last:
            answers = {recipe: self._asked(recipe, bonds, last) for recipe in self._plan.models}
            kept = {"at": last, "answers": answers}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, kept)
        answers = kept["answers"]
        predictions = {recipe: _floats(answer["predictions"]) for recipe, answer in answers.items()}
        intervals = [[None, None] if one is None else one for one in answers["bond-gpr"]["intervals"]]
        return Said(predictions, np.array([_floats(pair) for pair in intervals]))

    def _asked(self, recipe: str, bonds: Bonds, last: int) -> dict[str, Any]:
        xs = features(bonds.types, bonds.distance, bonds.soap)
        path = f"/api/v1/models/{quote(self._plan.models[recipe])}/predict/"
        answer = self._server.request("POST", path, {"xs": xs, "level": LEVEL}, deadline=PATIENCE)
        none = [None] * len(xs)
        if answer["at"] == last:
            return {"predictions": answer["predictions"], "intervals": answer.get("intervals") or none}
        mean, _ = strengths(self.estimator(recipe, last), bonds.types, bonds.distance, bonds.soap)
        return {"predictions": [None if np.isnan(one) else one for one in mean.tolist()], "intervals": none}


def with_free_names(server: Server, plan: BondsPlan) -> BondsPlan:
    """`plan` with the lowest number under which its stream and its models do not exist yet."""
    for run in range(1, MOST_RUNS):
        candidate = replace(plan, run=run)
        names = [("streams", candidate.stream), *(("models", model) for model in candidate.models.values())]
        if not any(_exists(server, kind, name) for kind, name in names):
            return candidate
    raise PlanError(f"the names {plan.stream} to {plan.stream}-{MOST_RUNS - 1} are all taken on {server.url}")


def _exists(server: Server, kind: str, name: str) -> bool:
    try:
        server.request("GET", f"/api/v1/{kind}/{quote(name)}/", deadline=PATIENCE)
    except ServerRefused as error:
        if error.status == 404:
            return False
        raise
    return True


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
