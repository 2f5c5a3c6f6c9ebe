"""What active learning decides by: of each type of bond and each composition, how well a model knows it."""

import math
import re
from collections import defaultdict
from typing import Any

import numpy as np

from server.cells import databases, exporting, selection
from server.cells.exporting import Labeled
from server.cells.models import Database
from server.cells.nearest import MOST, Learned, matrix
from server.cells.selection import Selected
from server.learning import evaluation
from server.learning.models import Model
from server.streams.errors import Conflict, Invalid
from server.streams.models import Stream

MOST_TESTED = 20_000
"""Observations of a database that one call asks the model about."""
EVER = 2**62
"""Later than any retraction."""

_OF_DESCRIPTOR = re.compile(r"s[0-9]+\Z")


class Tally:
    """One row: sums over observations of a type, a composition or a cell."""

    def __init__(self) -> None:
        self.learned = self.scored = self.tested = self.refused = self.with_std = self.covered = 0
        self.squares = self.test_squares = self.stds = 0.0
        self.distances: list[float] = []
        self.has_reach = True

    def shown(self) -> dict[str, Any]:
        answered = self.tested - self.refused
        has_distance = bool(self.distances) and all(map(math.isfinite, self.distances))
        return {
            "learned": self.learned,
            "scored": self.scored,
            "prequential_rmse": _root(self.squares, self.scored),
            "tested": self.tested,
            "refused": self.refused,
            "rmse": _root(self.test_squares, answered),
            "std": self.stds / self.with_std if self.with_std else None,
            "distance": math.fsum(self.distances) / len(self.distances) if has_distance else None,
            "farthest": max(self.distances) if has_distance else None,
            "covered": self.covered / self.tested if self.tested and self.has_reach else None,
        }


def _root(squares: float, n: int) -> float | None:
    return math.sqrt(squares / n) if n else None


class Coverage:
    """The rows of a model: by type, by type and composition, and by cell of a database.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.evaluation.asked`; Conflict also if the database's features are made by another descriptor.
    Invalid
        If the database holds more than :data:`MOST_TESTED` observations.
    """

    def __init__(self, name: str, database: Database | None) -> None:
        self.model, self.asked = evaluation.asked(name)
        self.database = database
        self.types: dict[str, Tally] = defaultdict(Tally)
        self.compositions: dict[tuple[str, str], Tally] = defaultdict(Tally)
        self.cells: dict[str, Tally] = defaultdict(Tally)
        self.reaches: dict[str, float | None] = {}
        stream = Stream.objects.get(pk=self.model.stream_id)
        learned = self._learned(self.model)
        if database is not None:
            _check_kind(stream, database)
            self._test(stream, database, learned)

    def _learned(self, model: Model) -> dict[str, list[Selected]]:
        """What the model has learned, by type, with its errors at the time tallied."""
        errors = evaluation.prequential_errors(model, self.asked.at)
        learned: dict[str, list[Selected]] = defaultdict(list)
        for bonds in selection.candidates(model.stream_id, self.asked.at, EVER):
            for number, kind in zip(bonds.numbers, bonds.types, strict=True):
                if number <= self.asked.since:
                    continue
                learned[kind].append(Selected(number, bonds.cell, bonds.composition, kind))
                for tally in (self.types[kind], self.compositions[kind, bonds.composition]):
                    tally.learned += 1
                    if not np.isnan(errors[number]):
                        tally.scored += 1
                        tally.squares += errors[number] ** 2
        return learned

    def _test(self, stream: Stream, database: Database, learned: dict[str, list[Selected]]) -> None:
        selected = databases.selected(database)
        if len(selected) > MOST_TESTED:
            raise Invalid(
                f"database {database.name} holds {len(selected)} observations, and a model is asked about {MOST_TESTED} at "
                'most: make a smaller one, {"types": {"Zr-Cu": 600, …}}',
                field="database",
                code="too_many",
            )
        by_type: dict[str, list[Labeled]] = defaultdict(list)
        for some in exporting.read(database.stream_id, selected):
            for labeled in some:
                by_type[labeled.one.type].append(labeled)
        reference = _drawn(learned, set(by_type))
        known = _by_type(exporting.read(stream.pk, sorted(one for some in reference.values() for one in some)))
        for kind, tested in sorted(by_type.items()):
            self._test_type(stream, database, kind, tested, known.get(kind, []))

    def _test_type(
        self, stream: Stream, database: Database, kind: str, tested: list[Labeled], known: list[Labeled]
    ) -> None:
        names = _vector_names(stream, [*tested, *known])
        learned = Learned(matrix([one.x for one in known], names), [(stream.pk, one.one.cell) for one in known])
        self.reaches[kind] = learned.reach
        cells = [(database.stream_id, one.one.cell) for one in tested]
        distances = learned.distances(matrix([one.x for one in tested], names), cells)
        for labeled, distance in zip(tested, distances.tolist(), strict=True):
            one = labeled.one
            opinion = self.asked.about(labeled.x)
            for tally in (self.types[kind], self.compositions[kind, one.composition], self.cells[one.cell]):
                tally.tested += 1
                tally.distances.append(distance)
                # Nothing learned: nothing is covered. One cell learned: nobody can say how far it reaches.
                tally.has_reach &= learned.reach is not None or not known
                tally.covered += learned.reach is not None and distance <= learned.reach
                if opinion is None:
                    tally.refused += 1
                    continue
                tally.test_squares += (opinion.prediction - labeled.y) ** 2
                if opinion.std is not None:
                    tally.with_std += 1
                    tally.stds += opinion.std

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        types = {}
        for kind, tally in sorted(self.types.items()):
            of_type = {of: own.shown() for (own_kind, of), own in sorted(self.compositions.items()) if own_kind == kind}
            types[kind] = {**tally.shown(), "reach": self.reaches.get(kind), "compositions": of_type}
        return {
            "model": self.model.name,
            "at": self.asked.at,
            "database": None if self.database is None else self.database.name,
            "types": types,
            "cells": {cell: tally.shown() for cell, tally in sorted(self.cells.items())},
        }


def _check_kind(stream: Stream, database: Database) -> None:
    other = database.stream
    for what in ("descriptor", "segment"):
        own, others = getattr(stream, what), getattr(other, what)
        if own != others:
            raise Conflict(
                f"database {database.name} is of stream {other.name}, whose {what} is {others}: the model's stream "
                f"{stream.name} has {own}, and so they can't be compared",
                field="database",
            )


def _drawn(learned: dict[str, list[Selected]], kinds: set[str]) -> dict[str, list[Selected]]:
    """At most :data:`MOST` of each type, by lot, the same every time."""
    found = {}
    for kind in kinds & set(learned):
        some = learned[kind]
        if len(some) > MOST:
            some = selection.drawn(iter(some), defaultdict(int), MOST, "coverage")
        found[kind] = some
    return found


def _by_type(batches: Any) -> dict[str, list[Labeled]]:
    found: dict[str, list[Labeled]] = defaultdict(list)
    for some in batches:
        for labeled in some:
            found[labeled.one.type].append(labeled)
    return found


def _vector_names(stream: Stream, some: list[Labeled]) -> list[str]:
    """The features that distances are between: ``s0``, ``s1`` … of a descriptor; else all that are numbers."""
    names = sorted({name for labeled in some for name in labeled.x})
    if stream.descriptor is not None:
        return [name for name in names if _OF_DESCRIPTOR.match(name)]
    return [
        name
        for name in names
        if name != stream.segment and all(isinstance(one.x.get(name, 0), (int, float)) for one in some)
    ]
