"""Coverage of a model, the basis of active learning: errors and distances for each bond type and composition."""

from collections import defaultdict
from typing import Any

import numpy as np

from server.cells import databases, exporting, reference
from server.cells.coverage_rows import Tally
from server.cells.exporting import Labeled
from server.cells.models import Database
from server.cells.nearest import Learned, matrix
from server.cells.selection import Selected
from server.core.errors import Conflict, Invalid
from server.learning import evaluation
from server.learning.models import Model
from server.streams.models import Stream

MOST_TESTED = 20_000
"""Most observations of a database that the model predicts in one call."""


class Coverage:
    """Coverage rows of a model: by type, by type and composition, and by cell of a database.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.evaluation.model_copy`. Conflict also if the database has another descriptor.
    Invalid
        If the database holds more than :data:`MOST_TESTED` observations.
    """

    def __init__(self, name: str, database: Database | None) -> None:
        self.model, self.copy = evaluation.model_copy(name)
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
        """Return the observations that the model has learned, by type, and add their prequential errors to the rows."""
        errors = evaluation.prequential_errors(model, self.copy.at)
        learned = reference.learned(model.stream_id, self.copy.since, self.copy.at)
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
                f"database {database.name} has {len(selected)} observations: at most {MOST_TESTED} are allowed. Create a "
                'smaller database, such as {"types": {"Zr-Cu": 600, …}}',
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
        learned = Learned(
            matrix([one.x for one in known], names),
            [one.one.family for one in known],
            [one.one.composition for one in known],
        )
        self.reaches[kind] = learned.reach
        distances = learned.distances(matrix([one.x for one in tested], names), [one.one.family for one in tested])
        for labeled, distance in zip(tested, distances.tolist(), strict=True):
            one = labeled.one
            estimate = self.copy.estimate(labeled.x)
            for tally in (self.types[kind], self.compositions[kind, one.composition], self.cells[one.cell]):
                tally.add_distance(distance, learned.reach, is_known=bool(known))
                tally.add_estimate(estimate, labeled.y)

    def shown(self) -> dict[str, Any]:
        """Return the rows as the API shows them."""
        types = {}
        for kind, tally in sorted(self.types.items()):
            of_type = {of: own.shown() for (own_kind, of), own in sorted(self.compositions.items()) if own_kind == kind}
            types[kind] = {**tally.shown(), "reach": self.reaches.get(kind), "compositions": of_type}
        return {
            "model": self.model.name,
            "at": self.copy.at,
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
                f"database {database.name} can't be compared with the model: the {what} of its stream {other.name} is {others}, "
                f"and that of the model's stream {stream.name} is {own}",
                field="database",
            )
