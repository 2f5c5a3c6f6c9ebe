"""Proposals: a person approves, edits or rejects the calculations of a round."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import Max

from server.campaigns import campaigns, compositions
from server.campaigns.models import Campaign, Decision, Run, RunAttempt
from server.campaigns.policies.situation import Pick, rounded
from server.cells.models import Cell
from server.core import audit_signals
from server.core.errors import Conflict, Invalid, NotFound
from server.core.json_codec import dumps_text, loads
from server.core.validation import check_name, check_text, format_value
from server.streams.models import Retraction

LONGEST_COMMENT, MOST_PICKS = 2_000, 1_000
KINDS = ("explore", "augment", "label")
_EDITABLE = {"number", "kind", "composition", "name", "family", "deformation", "seed", "why", "cost", "expected_gain"}


def find(campaign: Campaign, number: Any) -> Decision:
    """Return the decision of a round.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = None
    if str(number).isascii() and str(number).isdigit() and len(str(number)) < 10:
        found = Decision.objects.select_related("campaign").filter(campaign=campaign, number=int(number)).first()
    if found is None:
        raise NotFound(f"campaign {campaign.name} has no round {format_value(number)}", field="round")
    return found


def check_open(campaign: Campaign, decision: Decision) -> None:
    """Check that a proposal still waits.

    Raises
    ------
    Conflict
        If it doesn't. The message says who decided what and when.
    """
    number = decision.number
    if decision.state == Decision.SUPERSEDED:
        raise Conflict(
            f"round {number} of campaign {campaign.name} was withdrawn, because {decision.comment}: look at the newest proposal",
            code="superseded",
        )
    if decision.state != Decision.PROPOSED:
        by = decision.decided_by or "the campaign itself"
        at = "" if decision.decided_at is None else f" at {decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"
        raise Conflict(
            f"round {number} of campaign {campaign.name} was {decision.state} by {by}{at}: nothing was changed",
            code="decided",
        )
    if campaign.state != Campaign.ACTIVE:
        raise Conflict(
            f"campaign {campaign.name} is {campaign.state} ({campaign.reason}): resume it, and decide about its proposal then",
            code="wrong_state",
        )
    if is_outdated(campaign, decision):
        raise Conflict(
            f"observations of stream {campaign.stream_name} were retracted after round {number} was proposed: a new proposal is "
            "being made",
            code="superseded",
        )


def is_outdated(campaign: Campaign, decision: Decision) -> bool:
    """Return whether observations were retracted after the proposal was made."""
    last = Retraction.objects.filter(stream=campaign.stream_id).aggregate(last=Max("pk"))["last"]
    return (last or 0) != loads(decision.made_from)["retraction"]


def approve(campaign: Campaign, decision: Decision, picks: Any, who: str, comment: Any = "") -> Decision:
    """Approve a proposal, all or some of it, or with changes. Its runs begin.

    Call it in a transaction that holds the lock of the stream and of the campaign.

    Parameters
    ----------
    picks
        Numbers of the proposal's picks, or whole picks; None for all.

    Raises
    ------
    Invalid
        If a pick is invalid, or they exceed the budget.
    Conflict
        If the proposal doesn't wait any more.
    """
    check_open(campaign, decision)
    comment = check_text(comment, "comment", LONGEST_COMMENT)
    proposed = loads(decision.choice)["picks"]
    chosen = proposed if picks is None else _edited(picks, proposed)
    if not chosen:
        raise Invalid("picks is empty: expected at least one calculation, or reject the proposal", field="picks")
    left = _check(campaign, chosen)
    if len(left) != len(chosen) or chosen != proposed:
        decision.edited = dumps_text(left)
    decision.state, decision.decided_by, decision.comment = Decision.APPROVED, who, comment
    decision.decided_at = datetime.now(UTC)
    decision.save()
    _create_runs(campaign, decision, left)
    audit_signals.send(
        "campaign.approve", f"{campaign.name}/{decision.number}",
        after={"action": decision.action, "cells": [one["name"] for one in left], "comment": comment},
    )  # fmt: skip
    return decision


def reject(campaign: Campaign, decision: Decision, reason: Any, who: str) -> Decision:
    """Reject a proposal. The campaign pauses until a person resumes it.

    Call it in a transaction that holds the lock of the campaign.

    Raises
    ------
    Conflict
        If the proposal doesn't wait any more.
    """
    check_open(campaign, decision)
    reason = check_text(reason, "reason", LONGEST_COMMENT)
    if not reason.strip():
        raise Invalid("reason is empty: expected why the proposal is rejected", field="reason")
    decision.state, decision.decided_by, decision.comment = Decision.REJECTED, who, reason
    decision.decided_at = decision.ended_at = datetime.now(UTC)
    decision.save()
    campaigns.move(
        campaign, Campaign.PAUSED,
        f"round {decision.number} was rejected{f' by {who}' if who else ''}: {reason}. Change the campaign's settings, and resume it",
    )  # fmt: skip
    audit_signals.send("campaign.reject", f"{campaign.name}/{decision.number}", after={"reason": reason})
    return decision


def _edited(picks: Any, proposed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not isinstance(picks, list) or len(picks) > MOST_PICKS:
        raise Invalid(
            f"picks is {format_value(picks)}: expected a list of at most {MOST_PICKS} numbers or picks", field="picks"
        )
    found = []
    for index, one in enumerate(picks):
        field = f"picks[{index}]"
        if type(one) is int:
            if not 1 <= one <= len(proposed):
                raise Invalid(f"{field} is {one}: expected a number from 1 to {len(proposed)}", field=field)
            found.append(proposed[one - 1])
        else:
            found.append(_whole(one, field))
    return found


def _whole(one: Any, field: str) -> dict[str, Any]:
    """Return a pick that a person wrote, checked."""
    if not isinstance(one, dict):
        raise Invalid(f"{field} is {format_value(one)}: expected a number or an object", field=field)
    for name in one:
        if name not in _EDITABLE:
            raise Invalid(
                f"{field} has {format_value(name)}: expected some of {', '.join(sorted(_EDITABLE))}",
                field=f"{field}.{name}",
            )
    for name in ("kind", "composition", "name"):
        if name not in one:
            raise Invalid(f"{field}.{name} is missing", field=f"{field}.{name}", code="missing")
    if one["kind"] not in KINDS:
        raise Invalid(
            f"{field}.kind is {format_value(one['kind'])}: expected {', '.join(KINDS)}", field=f"{field}.kind"
        )
    check_name(one["name"], "cell", f"{field}.name")
    family = one.get("family")
    if family is not None:
        check_name(family, "cell", f"{field}.family")
    deformation, seed = one.get("deformation"), one.get("seed", 1)
    low = 1 if one["kind"] == "augment" else 0
    if deformation is not None or low:
        if type(deformation) is not int or not low <= deformation <= 14:
            raise Invalid(
                f"{field}.deformation is {format_value(deformation)}: expected {low} to 14",
                field=f"{field}.deformation",
            )
        if family is None and low:
            raise Invalid(
                f"{field}.family is missing: expected the cell to deform", field=f"{field}.family", code="missing"
            )
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise Invalid(f"{field}.seed is {format_value(seed)}: expected 0 to {2**31 - 1}", field=f"{field}.seed")
    pick = Pick(
        one["kind"], compositions.find(one["composition"], f"{field}.composition").name, one["name"], family, deformation, seed,
        check_text(one.get("why", ""), f"{field}.why", LONGEST_COMMENT),
    )  # fmt: skip
    return dict(rounded(pick.__dict__))


def _check(campaign: Campaign, chosen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the picks without those that were calculated meanwhile, and check names and budget."""
    names = [one["name"] for one in chosen]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Invalid(f"picks has the cell {name} twice: nothing is labeled twice", field=f"picks[{index}]")
    labeled = Cell.objects.filter(stream=campaign.stream_id, status=Cell.LABELED, name__in=names)
    taken = set(labeled.values_list("name", flat=True))
    runs = Run.objects.filter(campaign__stream=campaign.stream_id, cell__in=names)
    taken |= set(runs.values_list("cell", flat=True))
    left = [one for one in chosen if one["name"] not in taken]
    if not left:
        raise Conflict(
            f"all of the cells ({', '.join(sorted(taken)[:10])}) were calculated meanwhile, by this campaign or another one: reject "
            "the proposal, and a new one is made",
            code="superseded",
        )
    most = loads(campaign.budget)["calculations"]
    if most is not None:
        used = RunAttempt.objects.filter(run__campaign=campaign, calculation_number__isnull=False).count()
        if len(left) > most - used:
            raise Invalid(
                f"picks has {len(left)} calculations, and the budget of campaign {campaign.name} has {max(0, most - used)} left of "
                f"{most}: choose fewer, or raise the budget",
                field="picks",
                code="over_budget",
            )
    return left


def _create_runs(campaign: Campaign, decision: Decision, picks: list[dict[str, Any]]) -> None:
    number = Run.objects.filter(campaign=campaign).aggregate(last=Max("number"))["last"] or 0
    for one in picks:
        number += 1
        run = Run.objects.create(
            campaign=campaign, decision=decision, number=number, stage=one["kind"],
            composition=compositions.find(one["composition"]), family=one["family"] or "",
            deformation=one["deformation"], cell=one["name"], seed=one["seed"], why=one["why"], cost=one["cost"],
            expected_gain=one["expected_gain"],
        )  # fmt: skip
        RunAttempt.objects.create(run=run, number=1, stage=run.stage)
