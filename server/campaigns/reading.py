"""Campaigns, decisions, rounds and runs, as the API shows them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Max, Q, Sum

from server.campaigns import campaigns
from server.campaigns.models import Campaign, CampaignComposition, Decision, Run, RunAttempt
from server.campaigns.policies.situation import TypeStatus
from server.core.json_codec import loads


def listing() -> list[dict[str, Any]]:
    """Return all campaigns by name, without their bond types."""
    return _summaries(list(Campaign.objects.order_by("name")), Q())


def summary(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign without its bond types."""
    return _summaries([campaign], Q(campaign=campaign))[0]


def _summaries(found: list[Campaign], theirs: Q) -> list[dict[str, Any]]:
    """Return campaigns without their bond types. The number of queries does not depend on how many there are.

    ``theirs`` selects the rows of these campaigns, in tables of what campaigns have.
    """
    proposals = {one.campaign_id: one for one in Decision.objects.filter(theirs, state=Decision.PROPOSED)}
    names: dict[int, list[str]] = defaultdict(list)
    members = CampaignComposition.objects.filter(theirs).order_by("place")
    for pk, name in members.values_list("campaign", "composition__name"):
        names[pk].append(name)
    attempts = RunAttempt.objects.filter(run__in=Run.objects.filter(theirs)).order_by().values_list("run__campaign")
    sums = attempts.annotate(calculations=Count("calculation_number"), hours=Sum("hours"))
    spent = {pk: {"calculations": calculations, "node_hours": hours} for pk, calculations, hours in sums}
    decided = Decision.objects.filter(theirs).order_by().values_list("campaign")
    rounds = dict(decided.annotate(last=Max("number")))
    nothing = {"calculations": 0, "node_hours": 0.0}
    return [
        _summary(one, names[one.pk], proposals.get(one.pk), spent.get(one.pk, nothing), rounds.get(one.pk, 0))
        for one in found
    ]


def _summary(
    campaign: Campaign, compositions: list[str], proposal: Decision | None, used: dict[str, Any], last_round: int
) -> dict[str, Any]:
    settings = campaigns.settings_of(campaign, compositions)
    return {
        "name": campaign.name,
        "description": campaign.description,
        **settings,
        "used": used,
        "state": campaign.state,
        "reason": campaign.reason,
        "round": last_round,
        "proposal": None if proposal is None else decision(proposal),
        "next_at": campaign.next_at,
        "created_at": campaign.created_at,
        "created_by": campaign.created_by,
    }


def described(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign with what the newest decision knew of each bond type."""
    last = Decision.objects.filter(campaign=campaign).order_by("number").last()
    return summary(campaign) | {"types": [] if last is None else types_of(last)}


def types_of(one: Decision) -> list[dict[str, Any]]:
    """Return what a decision knew of each bond type, with the verdict."""
    return [row | {"verdict": TypeStatus(**row).verdict} for row in loads(one.situation)["types"]]


def decision(one: Decision, *, whole: bool = False) -> dict[str, Any]:
    """Return a decision; ``whole``: with its situation, and what that was made from."""
    choice = loads(one.choice)
    picks = choice["picks"] if one.edited is None else loads(one.edited)
    found = {
        "round": one.number,
        "action": one.action,
        "reason": choice["reason"],
        "picks": [{"number": number, **pick} for number, pick in enumerate(picks, 1)],
        "edited": one.edited is not None,
        "state": one.state,
        "decided_by": one.decided_by,
        "decided_at": one.decided_at,
        "comment": one.comment,
        "policy": one.policy,
        "fingerprint": one.fingerprint,
        "created_at": one.created_at,
        "ended_at": one.ended_at,
    }
    if whole:
        found |= {"situation": loads(one.situation), "made_from": loads(one.made_from), "proposed": choice["picks"]}
    return found


def decisions(campaign: Campaign) -> list[dict[str, Any]]:
    """Return all decisions of a campaign, the oldest first."""
    return [decision(one) for one in Decision.objects.filter(campaign=campaign).order_by("number")]


def history(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the rounds that had runs: what each cost, and the error of each bond type after it.

    The error is known once the next decision is made; until then ``types`` is empty.
    """
    rows = list(Decision.objects.filter(campaign=campaign).order_by("number"))
    rounds = []
    for place, one in enumerate(rows):
        attempts = list(RunAttempt.objects.filter(run__decision=one).order_by("pk"))
        if one.state != Decision.APPROVED or not attempts:
            continue
        newest = {attempt.run_id: attempt for attempt in attempts}.values()
        later = rows[place + 1 :]
        after = types_of(later[0]) if later else []
        rounds.append(
            {
                "round": one.number,
                "action": one.action,
                "calculations": len(newest),
                "failed": sum(attempt.state == Run.FAILED for attempt in newest),
                "causes": causes(newest),
                "node_hours": sum(attempt.hours for attempt in attempts),
                "at": one.ended_at,
                "types": [
                    {name: row[name] for name in ("type", "composition", "rmse", "low", "high")} for row in after
                ],
            }
        )
    return rounds


def causes(attempts: Iterable[RunAttempt]) -> dict[str, int]:
    """Return why runs failed, and how many for each cause."""
    found: dict[str, int] = {}
    for one in attempts:
        if one.state == Run.FAILED:
            found[one.cause] = found.get(one.cause, 0) + 1
    return dict(sorted(found.items()))


def runs(campaign: Campaign, number: int | None = None) -> list[dict[str, Any]]:
    """Return the runs of a campaign with their last attempts, or the one with this number."""
    wanted = Q(campaign=campaign) if number is None else Q(campaign=campaign, number=number)
    rows = Run.objects.filter(wanted).select_related("decision", "composition").prefetch_related("attempts")
    return [_run(one) for one in rows.order_by("number")]


def _run(run: Run) -> dict[str, Any]:
    last = max(run.attempts.all(), key=lambda attempt: attempt.number)
    return {
        "number": run.number,
        "round": run.decision.number,
        "stage": run.stage,
        "composition": "" if run.composition is None else run.composition.name,
        "family": run.family,
        "deformation": run.deformation,
        "cell": run.cell,
        "why": run.why,
        "state": last.state,
        "calculation": last.calculation_number,
        "attempt": last.number,
        "started_by": last.started_by,
        "cause": last.cause,
        "reason": last.reason,
        "node_hours": last.hours,
        "first": last.first,
        "last": last.last,
        "created_at": last.created_at,
        "ended_at": last.ended_at,
    }
