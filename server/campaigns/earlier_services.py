"""What the services published with Phys. Rev. Materials 4, 113603 were asked for, done by a campaign: generate, augment, etl."""

from collections.abc import Callable
from typing import Any

from server.campaigns import campaigns, compositions, deciding, reading
from server.campaigns.models import Campaign, Decision, Run
from server.campaigns.policies import picking
from server.campaigns.policies.situation import CandidateCell, Situation
from server.cells import catalog
from server.core.errors import Conflict, Invalid
from server.core.json_codec import loads

GENERATED = 1
"""New cells of a composition, where the proposal has none of it."""


def find(name: str | None) -> Campaign:
    """Return a campaign; without a name, the only one that is active or paused.

    Raises
    ------
    NotFound
        If there is none of this name.
    Invalid
        If a name is needed, because several campaigns, or none, are active or paused.
    """
    if name:
        return campaigns.find(name)
    found = list(Campaign.objects.filter(state__in=(Campaign.ACTIVE, Campaign.PAUSED)).order_by("name")[:11])
    if len(found) != 1:
        known = ", ".join(one.name for one in found[:10]) or "none"
        raise Invalid(
            f"campaign is missing: expected the name of a campaign, since not just one is active or paused ({known})",
            field="campaign", code="missing",
        )  # fmt: skip
    return campaigns.find(found[0].name)


def generate(campaign: Campaign, composition: str, who: str, key: int | None = None) -> Decision:
    """Approve the proposal's new cells of a composition; where it has none, one new cell in place of what it has.

    Raises
    ------
    NotFound
        If there is no such composition.
    Conflict
        If the campaign doesn't have it, or can't go on now.
    """
    name = compositions.find(composition, "composition").name
    return _approve(
        campaign,
        lambda one: one.kind == "explore" and one.composition == name,
        GENERATED,
        f"a cell of {name}",
        who,
        key,
    )


def augment(campaign: Campaign, cell: str, who: str, key: int | None = None) -> Decision:
    """Approve the proposal's deformed copies of a cell; where it has none, all copies that were not calculated yet.

    Raises
    ------
    NotFound
        If the campaign's stream has no such cell.
    Conflict
        If no copy is left, or the campaign can't go on now.
    """
    if campaign.stream is None:
        raise Conflict(f"stream {campaign.stream_name} of campaign {campaign.name} was deleted", code="stream_deleted")
    found = catalog.find(campaign.stream, cell)
    family = found.family or found.name
    return _approve(
        campaign,
        lambda one: one.kind == "augment" and one.family == family,
        None,
        f"a deformed copy of {family}",
        who,
        key,
    )


def ingested(campaign: Campaign) -> dict[str, Any]:
    """Return how far the results of a campaign's runs have been learned."""
    runs = reading.runs(campaign)
    states = {state: sum(one["state"] == state for one in runs) for state in Run.STATES}
    done = [one for one in runs if one["state"] == Run.DONE]
    return {
        "campaign": campaign.name,
        "stream": campaign.stream_name,
        "states": states,
        "observations": sum(one["last"] - one["first"] + 1 for one in done if one["first"] is not None),
        "learned": [one["cell"] for one in done],
        "waiting": {one["cell"]: one["reason"] for one in runs if one["state"] in deciding.OPEN},
        "failed": {one["cell"]: one["reason"] for one in runs if one["state"] == Run.FAILED},
    }


def _approve(
    campaign: Campaign, fits: Callable[[CandidateCell], bool], most: int | None, what: str, who: str, key: int | None
) -> Decision:
    decision = deciding.decide_now(campaign, key)
    situation = Situation.from_json(loads(decision.situation))
    wanted = {one.name for one in situation.candidates if fits(one)}
    proposed = [number for number, one in enumerate(loads(decision.choice)["picks"], 1) if one["name"] in wanted]
    picks: list[Any] = list(proposed)
    if not picks:
        left = [one for one in picking.candidates(situation) if one.name in wanted][:most]
        picks = [dict(one.__dict__) for one in picking.pick(situation, left, lambda _: "A person asked for it.")]
    if not picks:
        raise Conflict(
            f"round {decision.number} of campaign {campaign.name} has no candidate that is {what}: its compositions are "
            f"{', '.join(situation.compositions)}",
            code="no_candidate",
        )  # fmt: skip
    return deciding.approve(decision, picks, who, "")
