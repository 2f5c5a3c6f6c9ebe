"""How far a cell that has no labels yet lies from what a model has learned: whether it is worth a calculation."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from server.api.tally import Tally
from server.cells import reference
from server.cells.nearest import Learned, matrix
from server.learning import evaluation
from server.learning.companions import other_descriptor
from server.streams.errors import Invalid, TooLarge
from server.streams.models import Stream
from server.streams.validation import Checker, shown

SHOWN = ("learned", "tested", "refused", "std", "distance", "farthest", "covered")


class Candidate:
    """The rows of bonds whose strengths nobody knows: by type, and of all together. Nothing of them is kept.

    Parameters
    ----------
    name
        The model.
    xs
        The features of each bond, unchecked.
    descriptor
        The definition that they are made by, as the request names it.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.evaluation.asked`; Conflict also if the stream has another descriptor.
    Invalid
        Naming the bond, the feature and what was expected.
    TooLarge
        If there are more than one request may have points.
    """

    def __init__(self, name: str, xs: Any, descriptor: str | None) -> None:
        self.model, self.asked = evaluation.asked(name)
        stream = Stream.objects.get(pk=self.model.stream_id)
        if descriptor != stream.descriptor:
            raise other_descriptor(stream.descriptor, descriptor)
        self.types: dict[str, Tally] = defaultdict(Tally)
        self.all = Tally()
        self.reaches: dict[str, float | None] = {}
        by_type = _by_type(_checked(xs, stream), stream)
        learned = reference.learned(stream.pk, self.asked.since, self.asked.at)
        known = reference.drawn(stream.pk, learned, set(by_type))
        for kind, indices in sorted(by_type.items()):
            self.types[kind].learned = len(learned.get(kind, ()))
            self.all.learned += self.types[kind].learned
            others = known.get(kind, [])
            self._place(stream, kind, xs, indices, [one.x for one in others], [one.one.cell for one in others])

    def _place(
        self,
        stream: Stream,
        kind: str,
        xs: Sequence[dict[str, Any]],
        indices: Sequence[int],
        known: Sequence[dict[str, Any]],
        cells: Sequence[str],
    ) -> None:
        some = [xs[index] for index in indices]
        names = reference.vector_names(stream, [*some, *known])
        if known and stream.descriptor is not None:
            names = reference.vector_names(stream, known)
            for index in indices:
                _check_vector(xs[index], index, names)
        learned = Learned(matrix(known, names), cells)
        self.reaches[kind] = learned.reach
        distances = learned.distances(matrix(some, names), [None] * len(some))
        for x, distance in zip(some, distances.tolist(), strict=True):
            opinion = self.asked.about(x)
            for tally in (self.types[kind], self.all):
                tally.place(distance, learned.reach, is_known=bool(known))
                tally.judge(opinion)

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "model": self.model.name,
            "at": self.asked.at,
            "types": {kind: {**_row(tally), "reach": self.reaches[kind]} for kind, tally in self.types.items()},
            "all": _row(self.all),
        }


def _row(tally: Tally) -> dict[str, Any]:
    row = tally.shown()
    return {name: row[name] for name in SHOWN}


def _checked(xs: Any, stream: Stream) -> list[dict[str, Any]]:
    if type(xs) is not list or not xs:
        raise Invalid(f"xs is {shown(xs)}: expected the features of at least one bond", field="xs")
    most = settings.TAILRACE.max_points
    if len(xs) > most:
        raise TooLarge(f"xs has {len(xs)} bonds: the most allowed is {most}", field="xs")
    check = Checker(stream.features, stream.target_kind)
    for index, x in enumerate(xs):
        check.x(x, f"xs[{index}]")
    return xs


def _by_type(xs: Sequence[dict[str, Any]], stream: Stream) -> dict[str, list[int]]:
    """Type to which of the bonds are of it."""
    if stream.segment is None:
        return {"": list(range(len(xs)))}
    found: dict[str, list[int]] = defaultdict(list)
    for index, x in enumerate(xs):
        if stream.segment not in x:
            field = f"xs[{index}].{stream.segment}"
            raise Invalid(
                f"{field} is missing: expected the type, by which stream {stream.name} is told apart", field=field
            )
        found[str(x[stream.segment])].append(index)
    return found


def _check_vector(x: dict[str, Any], index: int, names: Sequence[str]) -> None:
    """Refuse a vector of other numbers than the learned ones have: a missing one would count as 0."""
    own = {name for name in x if reference.is_of_descriptor(name)}
    for name in sorted(own.symmetric_difference(names)):
        field = f"xs[{index}].{name}"
        if name in own:
            raise Invalid(f"{field} is {shown(x[name])}: the learned vectors have no {name}", field=field)
        raise Invalid(f"{field} is missing: the learned vectors have {len(names)} numbers", field=field, code="missing")
    for name in names:
        if not isinstance(x[name], (int, float)):
            field = f"xs[{index}].{name}"
            raise Invalid(f"{field} is {shown(x[name])}: expected a number", field=field)
