"""Views of the native API for campaigns."""

from typing import Any
from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.v1.campaign_bodies import (
    ApprovalSerializer,
    CampaignChangesSerializer,
    CampaignDecisionListSerializer,
    CampaignHistorySerializer,
    CampaignListSerializer,
    CampaignReasonSerializer,
    CampaignRunListSerializer,
    CampaignRunSerializer,
    CampaignSerializer,
    NewCampaignSerializer,
    RejectionSerializer,
    RestartSerializer,
    WholeCampaignDecisionSerializer,
)
from server.api.v1.cells import NewCellSerializer
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import created, operation
from server.campaigns import campaigns, deciding, labeling, proposals, reading, stages
from server.campaigns.models import Campaign


class OfCampaign(ServerWide):
    """Base of views of one campaign."""

    tag = "campaigns"

    def own(self, request: Request, name: str) -> Campaign:
        """Return the campaign if the caller may change it."""
        found = campaigns.find(name)
        caller.check_owner(request._request, found)
        return found

    def reason(self, request: Request) -> str:
        """Return the reason in an optional body."""
        has_body = int(request._request.META.get("CONTENT_LENGTH") or 0)
        return str(self.body(request)["reason"]) if has_body else ""


class Campaigns(ServerWide):
    """All campaigns."""

    @operation("listCampaigns", answers={200: CampaignListSerializer})
    def get(self, request: Request) -> Response:
        """List the campaigns by name."""
        return Response({"campaigns": reading.listing()})

    @operation("createCampaign", NewCampaignSerializer, answers={201: CampaignSerializer}, errors=(404, 409))
    def post(self, request: Request) -> Response:
        """Create a campaign. Everything that it names is checked first: stream, models, compositions, clusters, programs.

        It begins at once, unless `paused` is true: the policy decides what to calculate, and a person approves it, as
        `approval` says.
        """
        made = campaigns.create(self.body(request), **caller.made_by(request._request))
        return created(reading.described(made), f"/api/v1/campaigns/{quote(made.name)}/")


class OneCampaign(OfCampaign):
    """One campaign."""

    @operation("getCampaign", answers={200: CampaignSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a campaign: its settings, what it has used, its open proposal, and what is known of each bond type."""
        return Response(reading.described(campaigns.find(name)))

    @operation("changeCampaign", CampaignChangesSerializer, answers={200: CampaignSerializer}, errors=(409,))
    def patch(self, request: Request, name: str) -> Response:
        """Change settings of a campaign. An open proposal is withdrawn, and made again with the new settings."""
        campaigns.change(self.own(request, name), self.body(request))
        return Response(reading.described(campaigns.find(name)))

    @operation("deleteCampaign", answers={204: None}, errors=(409,))
    def delete(self, request: Request, name: str) -> Response:
        """Delete a campaign that has ended, with its decisions and runs. Its cells and calculations stay."""
        campaigns.delete(self.own(request, name))
        return Response(status=204)


class Pause(OfCampaign):
    """Pausing a campaign."""

    @operation(
        "pauseCampaign", CampaignReasonSerializer, answers={200: CampaignSerializer}, errors=(409,), needs_body=False
    )
    def post(self, request: Request, name: str) -> Response:
        """Begin no new round and no new calculation. What runs goes on, and is learned."""
        campaigns.pause(self.own(request, name), self.reason(request))
        return Response(reading.described(campaigns.find(name)))


class Resume(OfCampaign):
    """Resuming a campaign."""

    @operation(
        "resumeCampaign",
        CampaignReasonSerializer,
        answers={200: CampaignSerializer},
        errors=(404, 409),
        needs_body=False,
    )
    def post(self, request: Request, name: str) -> Response:
        """Go on with a campaign that is paused, stopped or finished."""
        campaigns.resume(self.own(request, name), self.reason(request))
        return Response(reading.described(campaigns.find(name)))


class Stop(OfCampaign):
    """Stopping a campaign."""

    @operation(
        "stopCampaign", CampaignReasonSerializer, answers={200: CampaignSerializer}, errors=(409,), needs_body=False
    )
    def post(self, request: Request, name: str) -> Response:
        """Stop a campaign. What runs is cancelled; results that come nevertheless are learned."""
        campaigns.stop(self.own(request, name), self.reason(request))
        return Response(reading.described(campaigns.find(name)))


class Propose(OfCampaign):
    """Deciding now."""

    @operation("proposeRound", answers={200: WholeCampaignDecisionSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> Response:
        """Decide the next round now, whatever `pause_between_rounds` says. If a proposal waits, that one is the answer."""
        made = deciding.decide_now(self.own(request, name), caller.key(request._request))
        return Response(reading.decision(made, whole=True))


class Decisions(OfCampaign):
    """The decisions of a campaign."""

    @operation("listDecisions", answers={200: CampaignDecisionListSerializer})
    def get(self, request: Request, name: str) -> Response:
        """List the decisions of a campaign, the oldest first."""
        return Response({"decisions": reading.decisions(campaigns.find(name))})


class OneDecision(OfCampaign):
    """One decision."""

    @operation("getDecision", answers={200: WholeCampaignDecisionSerializer})
    def get(self, request: Request, name: str, number: str) -> Response:
        """Show a decision with everything that it was based on."""
        return Response(reading.decision(proposals.find(campaigns.find(name), number), whole=True))


class Approve(OfCampaign):
    """Approving a proposal."""

    @operation(
        "approveDecision",
        ApprovalSerializer,
        answers={200: WholeCampaignDecisionSerializer},
        errors=(409,),
        needs_body=False,
    )
    def post(self, request: Request, name: str, number: str) -> Response:
        """Approve a proposal: all of it, some of its picks, or with changed picks. Its calculations begin.

        A proposal that was decided about before, or withdrawn, is refused with a sentence that says by whom and when.
        """
        has_body = int(request._request.META.get("CONTENT_LENGTH") or 0)
        asked: dict[str, Any] = self.body(request) if has_body else {"comment": ""}
        found = proposals.find(campaigns.find(name), number)
        who = caller.name(request._request)
        made = deciding.approve(found, asked.get("picks"), who, asked["comment"])
        return Response(reading.decision(made, whole=True))


class Reject(OfCampaign):
    """Rejecting a proposal."""

    @operation("rejectDecision", RejectionSerializer, answers={200: WholeCampaignDecisionSerializer}, errors=(409,))
    def post(self, request: Request, name: str, number: str) -> Response:
        """Reject a proposal with a reason. The campaign pauses; its picks are not proposed again."""
        found = proposals.find(campaigns.find(name), number)
        made = deciding.reject(found, self.body(request)["reason"], caller.name(request._request))
        return Response(reading.decision(made, whole=True))


class Runs(OfCampaign):
    """The runs of a campaign."""

    @operation("listRuns", answers={200: CampaignRunListSerializer})
    def get(self, request: Request, name: str) -> Response:
        """List the runs of a campaign: each is a calculation that ends with a labeled cell."""
        return Response({"runs": reading.runs(campaigns.find(name))})


class Restart(OfCampaign):
    """Restarting a run."""

    @operation("restartRun", RestartSerializer, answers={200: CampaignRunSerializer}, errors=(409,))
    def post(self, request: Request, name: str, number: str) -> Response:
        """Start a failed run again, from its first stage or from its labels."""
        campaign = self.own(request, name)
        run = stages.find(campaign, number)
        stages.restart(campaign, run, self.body(request)["stage"], caller.name(request._request))
        return Response(reading.runs(campaign, run.number)[0])


class Labels(OfCampaign):
    """Labels by hand."""

    @operation("labelByHand", NewCellSerializer, answers={200: CampaignRunSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> Response:
        """Post the labeled cell of a run, in place of its calculation. The run is done then."""
        campaign = self.own(request, name)
        run = labeling.label(campaign, self.body(request), caller.name(request._request))
        return Response(reading.runs(campaign, run.number)[0])


class History(OfCampaign):
    """The rounds of a campaign."""

    @operation("getCampaignHistory", answers={200: CampaignHistorySerializer})
    def get(self, request: Request, name: str) -> Response:
        """List the rounds: what each calculated and cost, and the error of each bond type after it."""
        return Response({"rounds": reading.history(campaigns.find(name))})
