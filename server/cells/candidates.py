"""Coverage of a candidate: how far an unlabeled cell is from what a model has learned, and whether to calculate it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from server.cells import families, reference
from server.cells.coverage_rows import Tally
from server.cells.exporting import Labeled
from server.cells.nearest import Learned, matrix
from server.core.errors import Invalid, TooLarge
from server.core.validation import Checker, format_value
from server.learning import evaluation
from server.learning.write_path.attachments import descriptor_conflict
from server.streams.models import Stream

SHOWN = ("learned", "tested", "refused", "std", "distance", "farthest", "covered")


class Candidate:
    """Coverage rows of unlabeled bonds: by type, and of all together. Nothing is stored.

    Parameters
    ----------
    name
        The model.
    xs
        The features of each bond, unchecked.
    descriptor
        Name of the descriptor of the features, as the request has it.
    family
        Name of a cell of its family (:mod:`server.cells.families`), which is left out of the learned ones; None if it has none.

    Raises
    ------
    NotFound, Conflict, Unavailable
        As :func:`server.learning.evaluation.model_copy`; Conflict also if the stream has another descriptor.
    Invalid
        If a bond or the family is invalid. The message names the bond, the feature and what was expected.
    TooLarge
        If there are more bonds than a request may have points.
    """

    def __init__(self, name: str, xs: Any, descriptor: str | None, family: Any = None) -> None:
        self.model, self.copy = evaluation.model_copy(name)
        self._family = None if family is None else _family(family)
        stream = Stream.objects.get(pk=self.model.stream_id)
        if descriptor != stream.descriptor:
            raise descriptor_conflict(stream.descriptor, descriptor)
        self.types: dict[str, Tally] = defaultdict(Tally)
        self.all = Tally()
        self.reaches: dict[str, float | None] = {}
        by_type = _by_type(_checked(xs, stream), stream)
        learned = reference.learned(stream.pk, self.copy.since, self.copy.at)
        known = reference.drawn(stream.pk, learned, set(by_type))
        for kind, indices in sorted(by_type.items()):
            self.types[kind].learned = len(learned.get(kind, ()))
            self.all.learned += self.types[kind].learned
            others = known.get(kind, [])
            self._add_type(stream, kind, xs, indices, others)

    def _add_type(
        self,
        stream: Stream,
        kind: str,
        xs: Sequence[dict[str, Any]],
        indices: Sequence[int],
        others: Sequence[Labeled],
    ) -> None:
        known = [one.x for one in others]
        some = [xs[index] for index in indices]
        names = reference.vector_names(stream, [*some, *known])
        if known and stream.descriptor is not None:
            names = reference.vector_names(stream, known)
            for index in indices:
                _check_vector(xs[index], index, names)
        learned = Learned(
            matrix(known, names), [one.one.family for one in others], [one.one.composition for one in others]
        )
        self.reaches[kind] = learned.reach
        distances = learned.distances(matrix(some, names), [self._family] * len(some))
        for x, distance in zip(some, distances.tolist(), strict=True):
            estimate = self.copy.estimate(x)
            for tally in (self.types[kind], self.all):
                tally.add_distance(distance, learned.reach, is_known=bool(known))
                tally.add_estimate(estimate)

    def shown(self) -> dict[str, Any]:
        """Return the rows as the API shows them."""
        return {
            "model": self.model.name,
            "at": self.copy.at,
            "types": {kind: {**_row(tally), "reach": self.reaches[kind]} for kind, tally in self.types.items()},
            "all": _row(self.all),
        }


def _row(tally: Tally) -> dict[str, Any]:
    row = tally.shown()
    return {name: row[name] for name in SHOWN}


def _family(value: Any) -> str:
    if not families.is_name(value):
        raise Invalid(
            f"family is {format_value(value)}: expected the name of a cell of the family, 1 to {families.LONGEST} printable "
            "characters",
            field="family",
        )
    return families.of_cell(value, {})


def _checked(xs: Any, stream: Stream) -> list[dict[str, Any]]:
    if type(xs) is not list or not xs:
        raise Invalid(f"xs is {format_value(xs)}: expected the features of at least one bond", field="xs")
    most = settings.TAILRACE.max_points
    if len(xs) > most:
        raise TooLarge(f"xs has {len(xs)} bonds: at most {most} are allowed", field="xs")
    check = Checker(stream.features, stream.target_kind)
    for index, x in enumerate(xs):
        check.x(x, f"xs[{index}]")
    return xs


def _by_type(xs: Sequence[dict[str, Any]], stream: Stream) -> dict[str, list[int]]:
    """Return bond type to the indexes of its bonds."""
    if stream.segment is None:
        return {"": list(range(len(xs)))}
    found: dict[str, list[int]] = defaultdict(list)
    for index, x in enumerate(xs):
        if stream.segment not in x:
            field = f"xs[{index}].{stream.segment}"
            raise Invalid(
                f"{field} is missing: expected the bond type, which is the segment feature of stream {stream.name}",
                field=field,
            )
        found[str(x[stream.segment])].append(index)
    return found


def _check_vector(x: dict[str, Any], index: int, names: Sequence[str]) -> None:
    """Check that a vector has the same features as the learned ones, since a missing one would count as 0."""
    own = {name for name in x if reference.is_of_descriptor(name)}
    for name in sorted(own.symmetric_difference(names)):
        field = f"xs[{index}].{name}"
        if name in own:
            raise Invalid(f"{field} is {format_value(x[name])}: the learned vectors have no {name}", field=field)
        raise Invalid(f"{field} is missing: the learned vectors have {len(names)} numbers", field=field, code="missing")
    for name in names:
        if not isinstance(x[name], (int, float)):
            field = f"xs[{index}].{name}"
            raise Invalid(f"{field} is {format_value(x[name])}: expected a number", field=field)
