"""The demo's stream and models on a server: post cells one by one, and predict the held-out bonds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from tailrace import Client
from tailrace.atomic_files import read_json, write_json
from tailrace.transport.server import Server

from lammps_jobs.bonds.demo.plan import BondsPlan, Directory
from lammps_jobs.bonds.descriptors.definition import DEFAULT
from lammps_jobs.bonds.descriptors.soap import Descriptor
from lammps_jobs.bonds.learning.cell_observations import features
from lammps_jobs.bonds.learning.estimator_strengths import strengths
from lammps_jobs.bonds.learning.evaluation import Bonds
from lammps_jobs.bonds.learning.ingest import Ingest
from lammps_jobs.demo_support.names import exists

__all__ = ["BondStream", "HeldOutPredictions"]

PATIENCE = 300.0
"""Seconds for a request. A forest takes long to learn or predict several hundred bonds."""
LEVEL = 0.95


@dataclass(frozen=True)
class HeldOutPredictions:
    """The models' predictions for n held-out bonds after some cells were learned.

    Attributes
    ----------
    predictions
        By recipe: -ICOHP in eV, shape (n,); nan for a type of bond that was not learned.
    intervals
        95 % intervals of the recipe that has intervals, in eV, shape (n, 2); nan if there is none.
    """

    predictions: dict[str, np.ndarray]
    intervals: np.ndarray


class BondStream:
    """One plan's stream and models on one server. Its methods raise the errors of `Server.request`.

    Parameters
    ----------
    server
        Its token must allow to create streams and models, to learn and to predict.
    """

    def __init__(self, plan: BondsPlan, server: Server) -> None:
        self._plan = plan
        self._server = server
        self._client = Client(server.url, server.token, deadline=PATIENCE)
        self._ingest = Ingest(server, plan.stream, Descriptor(DEFAULT))
        for recipe, model in plan.models.items():
            if not exists(server, "models", model):
                self._client.create(model, plan.stream, recipe)

    def learn(self, cell: Path) -> bool:
        """Post a labeled cell's bonds unless the server has them. Return whether they were posted."""
        return self._ingest.post(cell).what == "posted"

    def last(self, cell: str) -> int:
        """Return the number of the last observation of a learned cell."""
        path = f"/api/v1/streams/{quote(self._plan.stream)}/cells/{quote(cell)}/"
        return int(self._server.request("GET", path, deadline=PATIENCE)["last"])

    def log(self) -> list[dict[str, Any]]:
        """Return all observations in order, with each model's prediction before it learned the observation."""
        return list(self._client.stream(self._plan.stream).observations())

    def estimator(self, recipe: str, at: int | None = None) -> Any:
        """Return a model's estimator after observation `at`, or its current one if that is None."""
        model = self._client.model(self._plan.models[recipe])
        return (model if at is None else model.as_of(at)).download()

    def held_out_predictions(self, bonds: Bonds, directory: Directory, name: str, last: int) -> HeldOutPredictions:
        """Return the models' predictions for held-out bonds after observation `last`, the last bond of the cell `name`.

        They are stored in a file and computed once: by the server if it has learned no more observations, otherwise by
        the downloaded estimator of that time.
        """
        path = directory.heldout(name)
        kept = read_json(path)
        if kept is None or kept["at"] != last:
            answers = {recipe: self._asked(recipe, bonds, last) for recipe in self._plan.models}
            kept = {"at": last, "answers": answers}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, kept)
        answers = kept["answers"]
        predictions = {recipe: _floats(answer["predictions"]) for recipe, answer in answers.items()}
        intervals = [[None, None] if one is None else one for one in answers["bond-gpr"]["intervals"]]
        return HeldOutPredictions(predictions, np.array([_floats(pair) for pair in intervals]))

    def _asked(self, recipe: str, bonds: Bonds, last: int) -> dict[str, Any]:
        xs = features(bonds.types, bonds.distance, bonds.soap)
        path = f"/api/v1/models/{quote(self._plan.models[recipe])}/predict/"
        answer = self._server.request("POST", path, {"xs": xs, "level": LEVEL}, deadline=PATIENCE)
        none = [None] * len(xs)
        if answer["at"] == last:
            return {"predictions": answer["predictions"], "intervals": answer.get("intervals") or none}
        mean, _ = strengths(self.estimator(recipe, last), bonds.types, bonds.distance, bonds.soap)
        return {"predictions": [None if np.isnan(one) else one for one in mean.tolist()], "intervals": none}


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
