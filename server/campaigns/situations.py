"""The situation of a campaign, made from the log and the tables up to stated positions, so that it can be made again."""

import math
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Max, Q, QuerySet

from server.calculations.models import Result, Structure
from server.campaigns import costs, formulas
from server.campaigns.measures import Measures, TypeMeasure, measured
from server.campaigns.models import Campaign, CompositionAlias, Decision, Run, RunAttempt
from server.campaigns.policies.situation import CandidateCell, Cost, PastRound, Situation, Thresholds, TypeStatus
from server.cells.models import Cell
from server.core.errors import Conflict
from server.core.json_codec import loads
from server.learning.models import Model
from server.streams.models import Retraction, Stream

DEFORMATIONS = 14
MOST_UNLABELED = 200
"""Most stored structures that are candidates of a decision."""
_NAMED = re.compile(r"[A-Za-z0-9.]+-[0-9]{1,9}-[0-9]{2}", re.ASCII)
NOT_RUN = "budget"
"""Cause of a run that was not started because the budget was used up. It does not count as a failed label."""


@dataclass(frozen=True)
class MadeFrom:
    """Up to where the log and the tables are read.

    Attributes
    ----------
    position, retraction
        Number of the stream's last observation, and ID of its last retraction.
    runs, attempts, results
        ID of the last run of any campaign on the stream, of the last attempt at a run of this campaign, and of the last result of
        any calculation.
    model
        ID of the model that decides.
    unlabeled
        Names of the stored structures that are cells of the campaign's compositions (:func:`unlabeled_cells`). Some of them may be
        labeled by now.
    """

    position: int
    retraction: int
    runs: int
    attempts: int
    results: int
    model: int
    unlabeled: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "MadeFrom":
        """Return what was stored with a decision."""
        return cls(**{**value, "unlabeled": tuple(value.get("unlabeled", ()))})

    def fits(self, later: "MadeFrom") -> bool:
        """Return whether a decision made from this still holds later, when the log and the results may have grown."""
        return replace(self, position=0, results=0) == replace(later, position=0, results=0)


def now(campaign: Campaign, settings: dict[str, Any]) -> MadeFrom:
    """Return where the log and the tables end.

    Raises
    ------
    Conflict
        If the stream or the model that decides was deleted.
    """
    stream = None if campaign.stream_id is None else Stream.objects.filter(pk=campaign.stream_id).first()
    if stream is None:
        raise Conflict(f"stream {campaign.stream_name} was deleted: create another campaign", code="stream_deleted")
    name = settings["models"][0]
    model = Model.objects.filter(name=name, stream=stream).first()
    if model is None:
        raise Conflict(
            f"model {name}, which decides, was deleted: change the campaign's models, and resume it",
            code="model_deleted",
        )
    return MadeFrom(
        stream.head,
        _last(Retraction.objects.filter(stream=stream)),
        _last(Run.objects.filter(campaign__stream=stream)),
        _last(RunAttempt.objects.filter(run__campaign=campaign)),
        _last(Result.objects.all()),
        model.pk,
        unlabeled_cells(settings["compositions"]),
    )


def unlabeled_cells(compositions: list[str]) -> tuple[str, ...]:
    """Return the names of stored periodic structures that are cells of these compositions by their names, COMPOSITION-RUN-NN.

    Molecular dynamics that ran elsewhere is proposed for labels this way. The newest :data:`MOST_UNLABELED` count.
    """
    written = [
        *compositions,
        *CompositionAlias.objects.filter(composition__name__in=compositions).values_list("text", flat=True),
    ]
    begins = reduce(or_, [Q(name__startswith=f"{one}-") for one in written])
    names = Structure.objects.filter(begins, periodic=True).order_by("-pk").values_list("name", flat=True)
    some = [name for name in names[: 10 * MOST_UNLABELED] if name is not None and _NAMED.fullmatch(name)]
    return tuple(sorted(some[:MOST_UNLABELED]))


def _key_of(name: str) -> str | None:
    """Return the normalised formula in the name of a cell, COMPOSITION-RUN-NN; None if it has none."""
    return formulas.key_of(name.partition("-")[0])


def _family_of(name: str) -> tuple[str, int]:
    """Return family and number of the deformation in such a name."""
    family, _, deformation = name.rpartition("-")
    return family, int(deformation)


def _last(rows: QuerySet[Any]) -> int:
    return rows.aggregate(last=Max("pk"))["last"] or 0


def build(campaign: Campaign, settings: dict[str, Any], number: int, made_from: MadeFrom) -> Situation:
    """Return the situation of round ``number``, with rounded numbers.

    Parameters
    ----------
    settings
        The campaign's settings of that time (:func:`server.campaigns.campaigns.settings_of`).

    Raises
    ------
    Conflict
        If the model is gone.
    """
    model = Model.objects.select_related("stream").filter(pk=made_from.model).first()
    if model is None:
        raise Conflict(f"the model that decided (ID {made_from.model}) was deleted", code="model_deleted")
    thresholds = Thresholds(**settings["thresholds"])
    found = measured(
        model, made_from.position, made_from.retraction,
        kinds=settings["targets"], least_families=thresholds.least_families, seed=settings["seed"],
    )  # fmt: skip
    names = settings["compositions"]
    keys = {name: formulas.parse(name).key for name in names}
    types = _types(found, keys, settings["targets"])
    attempts = _settled(campaign, number)
    past = _history(campaign, number, attempts, types)
    asked = _asked(campaign, number)
    budget = settings["budget"]
    expected = costs.by_stage(settings["programs"], made_from.results)
    situation = Situation(
        campaign=campaign.name,
        round=number,
        seed=settings["seed"],
        position=made_from.position,
        retraction=made_from.retraction,
        types=types,
        learned_compositions=tuple(name for name in names if keys[name] in found.learned),
        compositions=tuple(names),
        candidates=_candidates(model.stream_id, keys, found, expected, thresholds.batch, made_from, asked),
        history=past,
        budget_calculations=budget["calculations"],
        budget_hours=budget["node_hours"],
        used_calculations=sum(one.calculation_number is not None for one in attempts),
        used_hours=math.fsum(one.hours for one in attempts),
        failed_share=_failed_share(campaign, number, past),
        thresholds=thresholds,
        asked=asked,
        costs={kind: Cost(**asdict(one)) for kind, one in expected.items()},
    )
    return Situation.from_json(situation.to_json())


def _types(found: Measures, keys: dict[str, str], targets: dict[str, float]) -> tuple[TypeStatus, ...]:
    rows = []
    for name, key in keys.items():
        elements = set(formulas.parse(name).shares)
        for kind, target in sorted(targets.items()):
            if not set(kind.split("-")) <= elements:
                continue
            one = found.types.get((key, kind), TypeMeasure())
            rows.append(
                TypeStatus(
                    kind, name, target, one.families, one.bonds, one.rmse, one.low, one.high, one.covered, one.scale
                )
            )
    return tuple(rows)


def _settled(campaign: Campaign, number: int) -> list[RunAttempt]:
    """Return the ended attempts that the decision of this round took into account, or would."""
    ended = RunAttempt.objects.filter(run__campaign=campaign, state__in=(Run.DONE, Run.FAILED)).select_related("run")
    return [one for one in ended.order_by("pk") if one.settled is None or one.settled <= number]


def pooled(types: "tuple[TypeStatus, ...]") -> dict[str, float | None]:
    """Return bond type to its RMSE over all compositions, in eV."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for one in types:
        row = sums[one.type]
        if one.rmse is not None:
            row[0] += one.bonds * one.rmse**2
            row[1] += one.bonds
    return {kind: math.sqrt(total / bonds) if bonds else None for kind, (total, bonds) in sorted(sums.items())}


def _history(
    campaign: Campaign, number: int, attempts: list[RunAttempt], types: tuple[TypeStatus, ...]
) -> tuple[PastRound, ...]:
    decisions = list(Decision.objects.filter(campaign=campaign, number__lt=number).order_by("number"))
    newest = {one.run_id: one for one in attempts}
    of: dict[int, list[RunAttempt]] = defaultdict(list)
    hours: dict[int, list[float]] = defaultdict(list)
    for one in attempts:
        hours[one.run.decision_id].append(one.hours)
    for one in newest.values():
        of[one.run.decision_id].append(one)
    rounds = []
    for place, decision in enumerate(decisions):
        runs = of[decision.pk]
        if decision.state != Decision.APPROVED or not runs:
            continue
        later = decisions[place + 1 :]
        after = types if not later else tuple(TypeStatus(**one) for one in loads(later[0].situation)["types"])
        failed = sum(one.state == Run.FAILED and one.cause != NOT_RUN for one in runs)
        rounds.append(
            PastRound(
                decision.number,
                loads(decision.choice)["action"],
                len(runs),
                failed,
                math.fsum(hours[decision.pk]),
                pooled(after),
            )
        )
    return tuple(rounds)


def _failed_share(campaign: Campaign, number: int, past: tuple[PastRound, ...]) -> float | None:
    """Return the last round's share of failed runs; None without one, or if a person resumed the campaign after it."""
    if not past or not past[-1].calculations:
        return None
    paused = Decision.objects.filter(campaign=campaign, number__gt=past[-1].number, number__lt=number, action="pause")
    return None if paused.exists() else past[-1].failed / past[-1].calculations


def _asked(campaign: Campaign, number: int) -> tuple[str, ...]:
    """Return the cells of former rounds: those that were calculated, and those of proposals that were rejected."""
    before = Decision.objects.filter(campaign=campaign, number__lt=number)
    names = set(Run.objects.filter(decision__in=before).values_list("cell", flat=True))
    for rejected in before.filter(state=Decision.REJECTED):
        names |= {one["name"] for one in loads(rejected.choice)["picks"]}
    return tuple(sorted(names))


def _candidates(
    stream_id: int,
    keys: dict[str, str],
    found: Measures,
    expected: dict[str, costs.Estimate],
    batch: int,
    made_from: MadeFrom,
    asked: Collection[str],
) -> tuple[CandidateCell, ...]:
    """Return cells that can be calculated, without those that were asked for: stored structures that have no labels, new cells of
    each composition, and deformed copies of the labeled cells.
    """
    names_of = {key: name for name, key in keys.items()}
    hours = {stage: one.hours for stage, one in expected.items()}
    cells = Cell.objects.filter(stream_id=stream_id, status=Cell.LABELED, first__lte=made_from.position).order_by(
        "first"
    )
    rows = [
        (name, formulas.key_of(of), family or name)
        for name, of, family in cells.values_list("name", "composition", "family")
    ]
    runs = Run.objects.filter(campaign__stream=stream_id, pk__lte=made_from.runs)
    taken = {name for name, _, _ in rows} | set(runs.values_list("cell", flat=True)) | set(asked)
    found_cells = [
        CandidateCell("label", name, names_of[key], family, deformation, cost=hours["label"])
        for name in made_from.unlabeled
        if name not in taken and (key := _key_of(name)) in names_of
        for family, deformation in (_family_of(name),)
    ]
    taken |= {one.name for one in found_cells}
    for name in keys:
        number = 1 + max(
            (
                int(one[1])
                for text in taken
                if (one := re.fullmatch(rf"{re.escape(name)}-([0-9]{{1,9}})-[0-9]{{2}}", text))
            ),
            default=0,
        )
        found_cells += [
            CandidateCell("explore", f"{name}-{place}-00", name, f"{name}-{place}", 0, cost=hours["explore"])
            for place in range(number, number + batch)
        ]
    for name, key, family in rows:
        if key not in names_of or name not in (family, f"{family}-00"):
            continue
        sigmas = found.sigmas.get(family, {})
        sigma = math.sqrt(math.fsum(one**2 for one in sigmas.values()) / len(sigmas)) if sigmas else None
        for deformation in range(1, DEFORMATIONS + 1):
            copy = f"{family}-{deformation:02d}"
            if copy not in taken:
                found_cells.append(
                    CandidateCell(
                        "augment",
                        copy,
                        names_of[key],
                        family,
                        deformation,
                        sigma,
                        found.distances.get(family),
                        hours["augment"],
                        sigmas,
                    )
                )
    return tuple(found_cells)
