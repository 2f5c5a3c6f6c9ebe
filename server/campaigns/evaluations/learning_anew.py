"""Estimators of a model's recipe that learn only some families, and predict others."""

from collections.abc import Callable, Sequence
from time import monotonic

import numpy as np

from server.campaigns.evaluations.scores import Predicted
from server.campaigns.evaluations.tested_bonds import TestedBonds
from server.core.errors import Conflict
from server.learning import quarantine
from server.learning.evaluation import ModelCopy
from server.learning.fold import replay
from server.learning.fold.estimator_errors import DeadlineExceeded
from server.learning.fold.replica import Replica
from server.learning.models import Model

MOST_SECONDS = 1800.0
"""Longest time of one evaluation."""

Progress = Callable[[float], None]


class Recipe:
    """A model's estimator in its initial state, as often as wanted.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    bonds
        The bonds to learn and to test.
    seconds
        Longest time for all that is learned, s.
    """

    def __init__(self, model: Model, bonds: TestedBonds, seconds: float = MOST_SECONDS) -> None:
        self.model, self.bonds = model, bonds
        self.families = bonds.column("family")
        self.kinds = bonds.column("type")
        self._seconds, self._until = seconds, monotonic() + seconds

    def new(self) -> Replica:
        """Return a replica that has learned nothing. It keeps no curve and no segments, which cost as much as the learning.

        Raises
        ------
        Conflict
            If the model is in quarantine, perhaps since it ended the process that made this evaluation before.
        """
        quarantine.check_none(self.model.pk)
        replica = replay.initial_replica(self.model, None)
        replica.metrics = replica.flavor.new_metrics(1, with_history=False)
        return replica

    def learn(self, replica: Replica, rows: Sequence[int]) -> None:
        """Let a replica learn some bonds, in this order. A bond that it refuses is skipped, as on the stream.

        Raises
        ------
        Conflict
            If it takes longer than the recipe's seconds.
        """
        xs = [self.bonds.xs[row] for row in rows]
        ys = [float(self.bonds.y[row]) for row in rows]
        try:
            replay.advance(replica, replica.n + 1, xs, ys, {}, {}, until=self._until)
        except DeadlineExceeded:
            raise Conflict(
                f"model {self.model.name} takes longer than {self._seconds:g} s to learn anew what it is tested on: use a faster "
                "model, a smaller database, or fewer folds",
                code="too_slow",
            ) from None

    def predict(self, replica: Replica, rows: np.ndarray) -> Predicted:
        """Return what a replica predicts for some bonds."""
        copy = ModelCopy(self.model, replica)
        error, std = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        for place, row in enumerate(rows.tolist()):
            found = copy.estimate(self.bonds.xs[row])
            if found is not None:
                error[place] = found.prediction - self.bonds.y[row]
                std[place] = np.nan if found.std is None else found.std
        return Predicted(self.kinds[rows], self.families[rows], error, std, np.asarray(self.bonds.y, dtype=float)[rows])

    def tested_without(self, tested: np.ndarray, learned: np.ndarray) -> Predicted:
        """Learn the bonds of one mask, and predict those of another. They have no family in common."""
        both = set(self.families[tested]) & set(self.families[learned])
        assert not both, f"families {both} would be learned and tested"
        replica = self.new()
        self.learn(replica, np.flatnonzero(learned).tolist())
        return self.predict(replica, np.flatnonzero(tested))


def together(parts: Sequence[Predicted]) -> Predicted:
    """Return all of these predictions."""
    return Predicted(
        np.concatenate([one.kinds for one in parts]),
        np.concatenate([one.families for one in parts]),
        np.concatenate([one.error for one in parts]),
        np.concatenate([one.std for one in parts]),
        np.concatenate([one.label for one in parts]),
    )
