"""What active learning decides by: of each type of bond and each composition, how well a model knows it."""

from collections import defaultdict
from typing import Any

import numpy as np

from server.api.tally import Tally
from server.cells import databases, exporting, reference
from server.cells.exporting import Labeled
from server.cells.models import Database
from server.cells.nearest import Learned, matrix
from server.cells.selection import Selected
from server.learning import evaluation
from server.learning.models import Model
from server.streams.errors import Conflict, Invalid
from server.streams.models import Stream

MOST_TESTED = 20_000
"""Observations of a database that one call asks the model about."""


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
        learned = reference.learned(model.stream_id, self.asked.since, self.asked.at)
        for kind, some in learned.items():
            for one in some:
                for tally in (self.types[kind], self.compositions[kind, one.composition]):
                    tally.learned += 1
                    if not np.isnan(errors[one.number]):
                        tally.scored += 1
                        tally.squares += errors[one.number] ** 2
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
        by_type = reference.by_type(exporting.read(database.stream_id, selected))
        known = reference.drawn(stream.pk, learned, set(by_type))
        for kind, tested in sorted(by_type.items()):
            self._test_type(stream, database, kind, tested, known.get(kind, []))

    def _test_type(
        self, stream: Stream, database: Database, kind: str, tested: list[Labeled], known: list[Labeled]
    ) -> None:
        names = reference.vector_names(stream, [one.x for one in (*tested, *known)])
        learned = Learned(matrix([one.x for one in known], names), [(stream.pk, one.one.cell) for one in known])
        self.reaches[kind] = learned.reach
        cells = [(database.stream_id, one.one.cell) for one in tested]
        distances = learned.distances(matrix([one.x for one in tested], names), cells)
        for labeled, distance in zip(tested, distances.tolist(), strict=True):
            one = labeled.one
            opinion = self.asked.about(labeled.x)
            for tally in (self.types[kind], self.compositions[kind, one.composition], self.cells[one.cell]):
                tally.place(distance, learned.reach, is_known=bool(known))
                tally.judge(opinion, labeled.y)

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
