"""Bodies of campaigns: what is asked for, and what is shown."""

from server.api import fields
from server.api.serializers import RequestSerializer, Serializer
from server.campaigns import campaigns, proposals, settings_checks
from server.campaigns.models import Campaign, Decision, Run
from server.campaigns.policies.situation import ACTIONS

_TEXT = fields.Text(max_length=200)
TARGET = fields.Number(min_value=0, max_value=1000)
MODELS = "Names of regression models of the stream; the first one decides"
BUDGET = "Most `calculations` and `node_hours`; null: no limit"
THRESHOLDS = "`coverage`, `failed`, `gain`, `rounds_without_gain`, `batch`, `least_families`"
PROGRAMS = "Stage (`explore`, `augment`, `label`) to `program`, `parameters` and `resources`; at most 64 KiB of JSON"
APPROVAL = "Which rounds a person approves: every one, those with a new composition, or none"


class CampaignChangesSerializer(RequestSerializer):
    """Settings of a campaign. :mod:`server.campaigns.settings_checks` checks what they name."""

    description = fields.Text(max_length=campaigns.LONGEST_DESCRIPTION, required=False)
    models = fields.Items(_TEXT, MODELS, min_length=1, max_length=settings_checks.MOST_MODELS, required=False)
    compositions = fields.Items(
        _TEXT,
        "Names of compositions, in order",
        min_length=1,
        max_length=settings_checks.MOST_COMPOSITIONS,
        required=False,
    )
    targets = fields.Map(TARGET, "Bond type to the RMSE to reach, eV", min_length=1, required=False)
    budget = fields.Map(None, BUDGET, required=False)
    thresholds = fields.Map(None, THRESHOLDS, required=False)
    clusters = fields.Items(_TEXT, "Names of clusters; empty: any", max_length=100, required=False)
    programs = fields.Map(None, PROGRAMS, required=False)
    approval = fields.Choice(Campaign.APPROVALS, APPROVAL, required=False)
    pause_between_rounds = fields.Whole("Seconds", min_value=0, max_value=settings_checks.LARGEST_PAUSE, required=False)
    policy = fields.Text("Name of a policy; by default families", max_length=100, required=False)


class NewCampaignSerializer(CampaignChangesSerializer):
    name = fields.Name("campaign")
    stream = fields.Text("Name of the stream that its labels go to", max_length=200)
    models = fields.Items(_TEXT, MODELS, min_length=1, max_length=settings_checks.MOST_MODELS)
    compositions = fields.Items(
        _TEXT, "Names of compositions, in order", min_length=1, max_length=settings_checks.MOST_COMPOSITIONS
    )
    targets = fields.Map(TARGET, "Bond type to the RMSE to reach, eV", min_length=1)
    seed = fields.Whole(min_value=0, max_value=2**31 - 1, required=False)
    paused = fields.Flag("Create it paused", required=False)


class CampaignReasonSerializer(RequestSerializer):
    reason = fields.Text("Why", max_length=campaigns.LONGEST_REASON, required=False, default="")


class ApprovalSerializer(RequestSerializer):
    picks = fields.Items(
        fields.Field("Number of a pick of the proposal, or a whole pick"),
        "Calculations to make; all of them if it is missing", max_length=proposals.MOST_PICKS, required=False, allow_null=True,
    )  # fmt: skip
    comment = fields.Text(max_length=proposals.LONGEST_COMMENT, required=False, default="")


class RejectionSerializer(RequestSerializer):
    reason = fields.Text("Why", max_length=campaigns.LONGEST_REASON, min_length=1, pattern=fields.NOT_BLANK)


class RestartSerializer(RequestSerializer):
    stage = fields.Choice(
        ("explore", "augment", "label"),
        "The stage from which it starts again; null: its first",
        allow_null=True,
        default=None,
    )


class TypeStatusSerializer(Serializer):
    type, composition, target = fields.Text(), fields.Text(), fields.Number("eV")
    families, bonds = fields.Count(), fields.Count()
    rmse, low, high = (fields.Number("eV", allow_null=True) for _ in range(3))
    covered, scale = fields.Number(allow_null=True), fields.Number(allow_null=True)
    verdict = fields.Choice(("high", "good", "unknown"))


class PickSerializer(Serializer):
    number, kind, composition, name = fields.Count(), fields.Text(), fields.Text(), fields.Text("Name of the cell")
    family, deformation = fields.Text(allow_null=True), fields.Count(allow_null=True)
    seed, why = fields.Count(), fields.Text()
    cost, expected_gain = fields.Number("Node-hours"), fields.Number(allow_null=True)


class CampaignDecisionSerializer(Serializer):
    round, action, reason = fields.Count(), fields.Choice(ACTIONS), fields.Text()
    picks, edited = fields.Items(PickSerializer()), fields.Flag("Whether a person changed the picks")
    state, decided_by = fields.Choice(Decision.STATES), fields.Text("Empty: the campaign itself")
    decided_at, comment, policy = fields.Time(allow_null=True), fields.Text(), fields.Text()
    fingerprint, created_at, ended_at = fields.Text(), fields.Time(), fields.Time(allow_null=True)


class WholeCampaignDecisionSerializer(CampaignDecisionSerializer):
    situation = fields.Map(None, "All that the policy knew")
    made_from = fields.Map(None, "Up to where the log and the tables were read")
    proposed = fields.Items(fields.Map(), "The picks as the policy proposed them")


class CampaignDecisionListSerializer(Serializer):
    decisions = fields.Items(CampaignDecisionSerializer())


class CampaignSummarySerializer(Serializer):
    name, description, stream = fields.Text(), fields.Text(), fields.Text()
    models, compositions = fields.Items(fields.Text()), fields.Items(fields.Text())
    targets, budget, used, thresholds = fields.Map(), fields.Map(), fields.Map(), fields.Map()
    clusters, programs = fields.Items(fields.Text()), fields.Map()
    approval, pause_between_rounds = fields.Choice(Campaign.APPROVALS), fields.Count()
    policy, seed = fields.Text(), fields.Count()
    state, reason, round = fields.Choice(Campaign.STATES), fields.Text(), fields.Count()
    proposal = CampaignDecisionSerializer(allow_null=True)
    next_at, created_at, created_by = fields.Time(allow_null=True), fields.Time(), fields.Text()


class CampaignSerializer(CampaignSummarySerializer):
    types = fields.Items(TypeStatusSerializer(), "What the newest decision knew of each bond type")


class CampaignListSerializer(Serializer):
    campaigns = fields.Items(CampaignSummarySerializer())


class CampaignRunSerializer(Serializer):
    number, round, stage, composition = fields.Count(), fields.Count(), fields.Text(), fields.Text()
    family, deformation, cell, why = fields.Text(), fields.Count(allow_null=True), fields.Text(), fields.Text()
    state, calculation, attempt = fields.Choice(Run.STATES), fields.Count(allow_null=True), fields.Count()
    started_by, cause, reason = fields.Text(), fields.Text("Why it failed, to count by"), fields.Text()
    node_hours, first, last = fields.Number(), fields.Count(allow_null=True), fields.Count(allow_null=True)
    created_at, ended_at = fields.Time(), fields.Time(allow_null=True)


class CampaignRunListSerializer(Serializer):
    runs = fields.Items(CampaignRunSerializer())


class TypeErrorsSerializer(Serializer):
    type, composition = fields.Text(), fields.Text()
    rmse, low, high = (fields.Number("eV", allow_null=True) for _ in range(3))


class CampaignRoundSerializer(Serializer):
    round, action, calculations, failed = fields.Count(), fields.Text(), fields.Count(), fields.Count()
    causes, node_hours = fields.Map(fields.Count(), "Cause of a failure to number"), fields.Number()
    at, types = fields.Time(allow_null=True), fields.Items(TypeErrorsSerializer(), "Errors after the round")


class CampaignHistorySerializer(Serializer):
    rounds = fields.Items(CampaignRoundSerializer())
