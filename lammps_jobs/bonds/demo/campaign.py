"""Runs the demo's three parts: make labeled cells, learn them one by one, predict a large one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from lammps_jobs.bonds.demo.cells import WantedCell, generate, label, wanted
from lammps_jobs.bonds.demo.errors import ALL, covered, held_out, prequential
from lammps_jobs.bonds.demo.picture import draw
from lammps_jobs.bonds.demo.plan import BondsPlan, Directory
from lammps_jobs.bonds.demo.screen import OURS, BondsScreen
from lammps_jobs.bonds.demo.stream import BondStream, HeldOutPredictions
from lammps_jobs.bonds.descriptors.definition import DEFAULT
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.calculation import STRUCTURE
from lammps_jobs.bonds.learning import evaluation
from lammps_jobs.bonds.learning.structure_prediction import predict
from lammps_jobs.bonds.progress import bar
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.demo_support.local_server import LocalServer
from lammps_jobs.demo_support.tokens import Credentials
from lammps_jobs.runs.lammps_job import Programs

__all__ = ["Campaign"]


class Campaign:
    """Runs a plan. All state is on disk and in the server's log, so each part does only what is not done yet."""

    def __init__(self, plan: BondsPlan, directory: Directory, programs: Programs, screen: BondsScreen) -> None:
        self._plan, self._directory = plan, directory
        self._programs, self._screen = programs, screen
        self._to_learn: list[WantedCell] = []
        self._held_out: list[WantedCell] = []

    def make_cells(self) -> None:
        """Generate, deform and label the cells.

        Raises
        ------
        Refused
            If LAMMPS or labeling fails, or if there are no bonds to learn or to hold out.
        """
        started, place = time.monotonic(), self._directory.cells
        glasses, unseen = self._plan.to_learn(), self._plan.held_out()
        made = generate([*glasses, unseen, self._plan.larger()], place, self._programs)
        if made:
            self._screen.note(f"LAMMPS made {made} glasses in {time.monotonic() - started:.0f} s.")
        started = time.monotonic()
        self._held_out = wanted(unseen, place)
        # First the glasses themselves, then the same deformation of each, so that the first cells differ most.
        families = [wanted(glass, place) for glass in glasses]
        self._to_learn = [cell for cells in zip(*families, strict=True) for cell in cells]
        everything = [*self._held_out, *self._to_learn]
        labeled = label(everything, self._plan.longest, len(os.sched_getaffinity(0)))
        if labeled:
            self._screen.note(f"tblite labeled the bonds of {labeled} cells in {time.monotonic() - started:.0f} s.")
        self._screen.skipped([cell for cell in everything if cell.skipped is not None])
        self._to_learn = [cell for cell in self._to_learn if cell.skipped is None]
        self._held_out = [cell for cell in self._held_out if cell.skipped is None]
        if not self._to_learn or not self._held_out:
            raise Refused(
                f"no cell is left to {'learn from' if not self._to_learn else 'hold out'}: start over with more "
                f"--atoms than {self._plan.atoms}, or a --longest below {self._plan.longest:g}, and --fresh"
            )

    def learn(self, server: LocalServer, credentials: Credentials) -> None:
        """Learn the bonds cell by cell, and predict the held-out bonds after each. Print a table and draw a picture."""
        started, plan = time.monotonic(), self._plan
        stream = self._stream(server, credentials)
        unseen = evaluation.read([cell.directory for cell in self._held_out])
        predicted: list[HeldOutPredictions] = []
        posted = 0
        with bar("Learning", len(self._to_learn), "cells") as progress:
            for cell in self._to_learn:
                progress.doing(f"Learning {cell.name}")
                posted += stream.learn(cell.directory)
                predicted.append(
                    stream.held_out_predictions(unseen, self._directory, cell.name, stream.last(cell.name))
                )
                progress.advance()
        log = stream.log()
        kept = len(self._to_learn) - posted
        before = f" ({kept} of the cells were learned before)" if kept else ""
        self._screen.note(
            f"Stream {plan.stream}: models {', '.join(plan.models.values())} learned {len(log):,} bonds of "
            f"{len(self._to_learn)} cells in {time.monotonic() - started:.0f} s{before}."
        )
        lasts = [stream.last(cell.name) for cell in self._to_learn]
        curves, own = held_out(unseen.types, unseen.strength, predicted), prequential(log, lasts, plan.models)
        spread = {kind: float(np.std(unseen.strength[(unseen.types == kind) | (kind == ALL)])) for kind in curves.bonds}
        self._screen.errors(curves, own, spread)
        self._screen.inside(*covered(unseen.strength, predicted[-1].intervals))
        names = " and ".join(f"{cell.name}{cell.what and f' ({cell.what})'}" for cell in self._held_out)
        draw(curves, own, names).save(self._directory.picture)

    def predict(self, server: LocalServer, credentials: Credentials) -> None:
        """Predict the bonds of the large glass, and write them in LOBSTER's format."""
        started = time.monotonic()
        estimator = self._stream(server, credentials).estimator(OURS)
        glass = structure_files.read(self._directory.cells / self._plan.larger().name / STRUCTURE)
        with bar("Predicting", len(glass), "atoms") as progress:
            found = predict(glass, estimator, DEFAULT, longest=self._plan.longest, advance=progress.advance)
            if found.unlearned:
                left = ", ".join(f"{count:,} {kind}" for kind, count in found.unlearned.items())
                self._screen.note(f"Left out, because no bond of the type was learned: {left}.")
                found = found.learned()
            progress.doing("Writing")
            beside = found.write(self._directory.predicted, glass.get_chemical_symbols())
        self._screen.larger(
            found, len(glass), time.monotonic() - started, self._directory.predicted, Path(beside)
        )  # fmt: skip

    def _stream(self, server: LocalServer, credentials: Credentials) -> BondStream:
        return BondStream(self._plan, server.api(credentials.owner()))
