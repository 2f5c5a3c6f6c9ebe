"""Notifications of campaigns, written inside the transaction of the change."""

from urllib.parse import quote

from django.contrib.auth.models import User

from server.campaigns.models import Campaign, Decision
from server.notifications import outbox

_EVENTS = {
    Campaign.PAUSED: ("campaign.paused", "is paused"),
    Campaign.STOPPED: ("campaign.stopped", "has stopped"),
    Campaign.FINISHED: ("campaign.finished", "has reached its targets"),
}


def state_changed(campaign: Campaign) -> None:
    """Tell the owner that a campaign is paused, stopped or finished, and why."""
    if campaign.state not in _EVENTS:
        return
    event, words = _EVENTS[campaign.state]
    _publish(event, campaign, _owner(campaign), f"Campaign {campaign.name} {words}", campaign.reason)


def proposed(campaign: Campaign, decision: Decision, reason: str, calculations: int) -> None:
    """Tell moderators and the owner that a proposal waits for a decision."""
    found = User.objects.filter(groups__permissions__codename="approve", is_active=True)
    people = [*found.values_list("pk", flat=True), *_owner(campaign)]
    subject = (
        f"Campaign {campaign.name} proposes round {decision.number}: {decision.action}, {calculations} calculations"
    )
    _publish("campaign.needs_approval", campaign, people, subject, f"{reason} Approve, edit or reject it on its page.")


def _owner(campaign: Campaign) -> list[int]:
    return [] if campaign.owner_id is None else [campaign.owner_id]


def _publish(event: str, campaign: Campaign, people: list[int], subject: str, text: str) -> None:
    outbox.publish(
        event, people, subject, text, path=f"/campaigns/{quote(campaign.name)}/", group=f"campaign {campaign.pk}"
    )
