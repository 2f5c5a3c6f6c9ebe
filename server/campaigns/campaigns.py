"""Campaigns: create, find, change, pause, resume, stop and delete them."""

from typing import Any

from django.conf import settings as config
from django.db import IntegrityError

from server.campaigns import announcements, settings_checks
from server.campaigns.models import Campaign, CampaignComposition, Composition, Decision, Run, RunAttempt
from server.campaigns.policies import registry as policies
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden, Invalid
from server.core.json_codec import dumps_text, loads
from server.core.validation import check_name, check_text, format_value
from server.streams import registry as streams
from server.streams.models import Stream

LONGEST_DESCRIPTION, LONGEST_REASON = 10_000, 1_000
CHANGEABLE = (
    "description", "models", "compositions", "targets", "budget", "thresholds", "clusters", "programs", "approval",
    "pause_between_rounds", "policy",
)  # fmt: skip
_JSON = {"models": "models_json"} | {name: name for name in ("targets", "budget", "thresholds", "clusters", "programs")}


def find(name: Any) -> Campaign:
    """Return the campaign with this name, with its stream.

    Raises
    ------
    NotFound
        If there is none.
    """
    rows = Campaign.objects.select_related("stream")
    return find_by_name(rows, name, "no campaign named {name}", field="campaign")


def create(asked: dict[str, Any], *, created_by: str, owner_id: int | None) -> Campaign:
    """Store a campaign after checking everything. It begins at once, unless ``paused`` is asked for.

    Raises
    ------
    Invalid, NotFound
        If a field is invalid, or names something that does not exist.
    Conflict
        If the name is taken, or a model can't be used.
    Forbidden
        If the user has as many campaigns as they may.
    """
    check_name(asked["name"], "campaign")
    stream = streams.find(asked["stream"])
    if stream.segment is None:
        raise Conflict(
            f"stream {stream.name} has no segment feature, so its bonds have no types: expected a stream with a segment such as "
            "bond",
            field="stream",
        )
    defaults = {
        "description": "", "budget": {}, "thresholds": {}, "clusters": [], "programs": {}, "approval": Campaign.EVERY,
        "pause_between_rounds": 0, "policy": "families",
    }  # fmt: skip
    columns, found = _checked({**defaults, **asked}, stream, None)
    seed = asked.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise Invalid(f"seed is {format_value(seed)}: expected a whole number from 0 to {2**31 - 1}", field="seed")
    campaign = Campaign(
        name=asked["name"],
        stream=stream,
        stream_name=stream.name,
        seed=seed,
        created_by=created_by,
        owner_id=owner_id,
        **columns,
    )
    if asked.get("paused"):
        campaign.state, campaign.reason = Campaign.PAUSED, "it was created so: resume it to begin"
    try:
        with transaction_for_writing():
            _check_quota(owner_id, created_by)
            campaign.save()
            _keep_compositions(campaign, found or [])
            audit_signals.send("campaign.create", campaign.name, after=settings_of(campaign))
    except IntegrityError as exc:
        raise Conflict(
            f"the name {format_value(asked['name'])} is taken by another campaign", field="name", code="name_taken"
        ) from exc
    return campaign


def _check_quota(owner_id: int | None, owner: str) -> None:
    most: int = config.TAILRACE.quota_campaigns
    if most and owner_id is not None and (has := Campaign.objects.filter(owner_id=owner_id).count()) >= most:
        raise Forbidden(
            f"{owner} has {has} campaigns: the most allowed is {most} (TAILRACE_QUOTA_CAMPAIGNS); delete some",
            code="quota_exceeded",
        )


def _checked(
    asked: dict[str, Any], stream: Stream, campaign: Campaign | None
) -> tuple[dict[str, Any], list[Composition] | None]:
    """Return the columns of the settings that are given, and the compositions if they are given."""
    columns: dict[str, Any] = {}
    present = None
    if campaign is not None:
        present = [one.composition for one in members(campaign)]
    found = settings_checks.check_compositions(asked["compositions"]) if "compositions" in asked else None
    if "targets" in asked or found is not None:
        targets = asked["targets"] if "targets" in asked else loads(campaign.targets) if campaign else {}
        columns["targets"] = dumps_text(settings_checks.check_targets(targets, found or present or []))
    if "models" in asked:
        columns["models_json"] = dumps_text(settings_checks.check_models(asked["models"], stream))
    for name, check in (("budget", settings_checks.check_budget), ("thresholds", settings_checks.check_thresholds)):
        if name in asked:
            columns[name] = dumps_text(check(asked[name]))
    if "clusters" in asked or "programs" in asked:
        before = {} if campaign is None else settings_of(campaign)
        on = settings_checks.check_clusters(asked.get("clusters", before.get("clusters")))
        wanted = settings_checks.check_programs(asked.get("programs", before.get("programs")), on)
        columns["clusters"], columns["programs"] = dumps_text(on), dumps_text(wanted)
    if "approval" in asked:
        columns["approval"] = settings_checks.check_approval(asked["approval"])
    if "pause_between_rounds" in asked:
        columns["pause_between_rounds"] = settings_checks.check_pause(asked["pause_between_rounds"])
    if "policy" in asked:
        columns["policy"] = policies.find(asked["policy"]).name
    if "description" in asked:
        columns["description"] = check_text(asked["description"], "description", LONGEST_DESCRIPTION)
    return columns, found


def _keep_compositions(campaign: Campaign, found: list[Composition]) -> None:
    CampaignComposition.objects.filter(campaign=campaign).delete()
    CampaignComposition.objects.bulk_create(
        CampaignComposition(campaign=campaign, composition=one, place=place) for place, one in enumerate(found)
    )


def members(campaign: Campaign) -> list[CampaignComposition]:
    """Return the compositions of a campaign, in their order."""
    return list(CampaignComposition.objects.filter(campaign=campaign).select_related("composition").order_by("place"))


def settings_of(campaign: Campaign, compositions: list[str] | None = None) -> dict[str, Any]:
    """Return everything that a decision depends on, as JSON-compatible data.

    ``compositions`` are the names of its compositions, if they are known.
    """
    if compositions is None:
        compositions = [one.composition.name for one in members(campaign)]
    return {
        "stream": campaign.stream_name,
        "models": loads(campaign.models_json),
        "compositions": compositions,
        "targets": loads(campaign.targets),
        "budget": loads(campaign.budget),
        "thresholds": loads(campaign.thresholds),
        "clusters": loads(campaign.clusters),
        "programs": loads(campaign.programs),
        "approval": campaign.approval,
        "pause_between_rounds": campaign.pause_between_rounds,
        "policy": campaign.policy,
        "seed": campaign.seed,
    }


def locked(campaign: Campaign) -> Campaign:
    """Lock a campaign in the current transaction, and return it as it is now."""
    return Campaign.objects.select_for_update(of=("self",)).select_related("stream").get(pk=campaign.pk)


def change(campaign: Campaign, fields: dict[str, Any]) -> Campaign:
    """Change settings. An open proposal was made with the former ones, so it is superseded.

    Raises
    ------
    Conflict
        If the campaign has ended, or its stream was deleted.
    """
    if campaign.stream is None:
        raise Conflict(
            f"stream {campaign.stream_name} of campaign {campaign.name} was deleted: create another campaign"
        )
    columns, found = _checked(fields, campaign.stream, campaign)
    with transaction_for_writing():
        campaign = locked(campaign)
        if campaign.state in (Campaign.STOPPED, Campaign.FINISHED) and set(columns) - {"description"}:
            raise Conflict(
                f"campaign {campaign.name} is {campaign.state}: resume it first, or create another one",
                code="wrong_state",
            )
        before = settings_of(campaign)
        for name, value in columns.items():
            setattr(campaign, name, value)
        campaign.save(update_fields=list(columns) or None)
        if found is not None:
            _keep_compositions(campaign, found)
        after = settings_of(campaign)
        if before != after:
            supersede(campaign, "the campaign's settings were changed")
        audit_signals.send("campaign.change", campaign.name, before=before, after=after)
    return campaign


def supersede(campaign: Campaign, why: str) -> None:
    """Close an open proposal without a decision. Call it in the transaction of its cause."""
    Decision.objects.filter(campaign=campaign, state=Decision.PROPOSED).update(state=Decision.SUPERSEDED, comment=why)


def move(campaign: Campaign, state: str, reason: str) -> None:
    """Move a locked campaign to a state, and tell people."""
    before = campaign.state
    campaign.state, campaign.reason = state, reason[:LONGEST_REASON]
    campaign.save(update_fields=["state", "reason"])
    audit_signals.send(
        "campaign.state", campaign.name, before={"state": before}, after={"state": state, "reason": reason}
    )
    if before != state:
        announcements.state_changed(campaign)


def pause(campaign: Campaign, reason: str) -> Campaign:
    """Begin no new round. What runs goes on, and is learned.

    Raises
    ------
    Conflict
        If it isn't active.
    """
    return _act(campaign, (Campaign.ACTIVE,), Campaign.PAUSED, reason)


def resume(campaign: Campaign, reason: str) -> Campaign:
    """Let a campaign go on that is paused, stopped or finished.

    Raises
    ------
    Conflict
        If it is active, or its stream was deleted.
    """
    if campaign.stream is None:
        raise Conflict(
            f"stream {campaign.stream_name} of campaign {campaign.name} was deleted: create another campaign"
        )
    settings_checks.check_models(loads(campaign.models_json), campaign.stream)
    settings_checks.check_compositions([one.composition.name for one in members(campaign)])
    return _act(campaign, (Campaign.PAUSED, Campaign.STOPPED, Campaign.FINISHED), Campaign.ACTIVE, reason)


def stop(campaign: Campaign, reason: str) -> Campaign:
    """Stop a campaign. The driver cancels its calculations; results that come nevertheless are learned.

    Raises
    ------
    Conflict
        If it has ended.
    """
    return _act(campaign, (Campaign.ACTIVE, Campaign.PAUSED), Campaign.STOPPED, reason)


def _act(campaign: Campaign, before: tuple[str, ...], after: str, reason: str) -> Campaign:
    reason = check_text(reason, "reason", LONGEST_REASON)
    with transaction_for_writing():
        campaign = locked(campaign)
        if campaign.state not in before:
            raise Conflict(
                f"campaign {campaign.name} is {campaign.state}{f' ({campaign.reason})' if campaign.reason else ''}: "
                f"only one that is {' or '.join(before)} can become {after}",
                code="wrong_state",
            )
        if after != Campaign.PAUSED:
            supersede(campaign, f"the campaign became {after}")
        move(campaign, after, reason)
    return campaign


def delete(campaign: Campaign) -> None:
    """Delete a campaign with its decisions and runs. Calculations and cells stay.

    Raises
    ------
    Conflict
        If it is active, or a run of it has not ended.
    """
    with transaction_for_writing():
        campaign = locked(campaign)
        is_open = RunAttempt.objects.filter(run__campaign=campaign, state__in=(Run.SCHEDULED, Run.RUNNING)).exists()
        if campaign.state == Campaign.ACTIVE or is_open:
            what = "has runs that have not ended" if is_open else "is active"
            raise Conflict(f"campaign {campaign.name} {what}: stop it, and delete it then", code="in_use")
        audit_signals.send("campaign.delete", campaign.name, before=settings_of(campaign))
        campaign.delete()
