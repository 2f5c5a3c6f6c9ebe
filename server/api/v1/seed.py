"""The paths of the services published with Phys. Rev. Materials 4, 113603, as aliases of what campaigns do. They are below ``/api/seed/``."""

from typing import Any
from urllib.parse import quote

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts.access import allow
from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.campaign_bodies import WholeCampaignDecisionSerializer
from server.api.v1.campaigns import OfCampaign
from server.api.v1.evaluations import WholeEvaluationSerializer
from server.api.v1.view import created, operation
from server.campaigns import earlier_services, reading
from server.campaigns.evaluations import kept
from server.campaigns.models import Campaign

CAMPAIGN = "The campaign; it can be left out if only one is active or paused"


class OfCampaignSerializer(RequestSerializer):
    campaign = fields.Text(CAMPAIGN, max_length=200, required=False, allow_null=True)


class AugmentedCellSerializer(OfCampaignSerializer):
    cell = fields.Text("A learned cell, or one of its deformed copies", max_length=200, min_length=1)


class SeedEvaluationSerializer(OfCampaignSerializer):
    model = fields.Text(
        "One of the campaign's models; by default its first", max_length=200, required=False, allow_null=True
    )
    cell = fields.Text("Test on this cell alone, as in production", max_length=200, required=False, allow_null=True)


class IngestedQuery(QuerySerializer):
    campaign = fields.Text(CAMPAIGN, max_length=200)


class IngestedSerializer(Serializer):
    campaign, stream = fields.Text(), fields.Text()
    states = fields.Map(fields.Count(), "State of a run to number of runs")
    observations = fields.Count("Bonds that were learned")
    learned = fields.Items(fields.Text(), "Cells that were learned")
    waiting = fields.Map(fields.Text(), "Cells that are calculated, with what they wait for")
    failed = fields.Map(fields.Text(), "Cells that gave no labels, with the reason")


class OfSeed(OfCampaign):
    """Base of the aliases."""

    tag = "seed"

    def asked(self, request: Request) -> dict[str, Any]:
        """Return the checked body; an empty one if there is none."""
        return self.body(request) if int(request._request.META.get("CONTENT_LENGTH") or 0) else {}

    def who(self, request: Request) -> tuple[str, int | None]:
        """Return the caller's name, and their key for slots."""
        return caller.name(request._request), caller.key(request._request)

    def approved(self, decision: Any) -> Response:
        return Response(reading.decision(decision, whole=True))


class Generate(OfSeed):
    """New cells of a composition."""

    path = {"composition": fields.Text("A composition of the campaign", max_length=200, min_length=1)}

    @operation(
        "seedGenerate",
        OfCampaignSerializer,
        answers={200: WholeCampaignDecisionSerializer},
        errors=(404, 409),
        needs_body=False,
    )
    def post(self, request: Request, composition: str) -> Response:
        """Calculate new cells of a composition: `explore`.

        It approves those of the campaign's open proposal, or makes a proposal first; if it has none, one new cell takes the
        place of what it proposes. The same as `POST /api/v1/campaigns/{name}/decisions/{number}/approve/` with these picks.
        """
        campaign = earlier_services.find(self.asked(request).get("campaign"))
        return self.approved(earlier_services.generate(campaign, composition, *self.who(request)))


class Augment(OfSeed):
    """Deformed copies of a cell."""

    @operation(
        "seedAugment", AugmentedCellSerializer, answers={200: WholeCampaignDecisionSerializer}, errors=(404, 409)
    )
    def post(self, request: Request) -> Response:
        """Calculate deformed copies of a learned cell: `augment`.

        It approves those of the campaign's open proposal, or makes a proposal first; if it has none, all copies that were
        not calculated yet take the place of what it proposes. The same as
        `POST /api/v1/campaigns/{name}/decisions/{number}/approve/` with these picks.
        """
        asked = self.body(request)
        campaign = earlier_services.find(asked.get("campaign"))
        return self.approved(earlier_services.augment(campaign, asked["cell"], *self.who(request)))


class Evaluate(OfSeed):
    """Evaluations."""

    @operation(
        "seedEvaluate",
        SeedEvaluationSerializer,
        answers={201: WholeEvaluationSerializer},
        errors=(404, 409),
        needs_body=False,
    )
    def post(self, request: Request) -> Response:
        """Evaluate a model by cross-validation over families, or on one cell.

        The same as `POST /api/v1/campaigns/{name}/evaluations/` with the kind `cross_validation` or `single_cell`: it is
        computed in the background.
        """
        asked = self.asked(request)
        campaign = self._own(request, asked.get("campaign"))
        cell = asked.get("cell")
        wanted = {
            "kind": "cross_validation" if cell is None else "single_cell",
            "model": asked.get("model"),
            "cell": cell,
        }
        made = kept.ask(campaign, wanted, caller.name(request._request))
        return created(
            kept.described(made, whole=True), f"/api/v1/campaigns/{quote(campaign.name)}/evaluations/{made.number}/"
        )

    def _own(self, request: Request, name: str | None) -> Campaign:
        found = earlier_services.find(name)
        caller.check_owner(request._request, found)
        return found


class Etl(OfSeed):
    """What was learned of a campaign's results."""

    @operation("seedEtl", answers={200: IngestedSerializer}, query=IngestedQuery, errors=(404,))
    def get(self, request: Request) -> Response:
        """Show how far the results of a campaign's runs have been learned.

        The server learns each labeled cell by itself, once: nothing has to be started. Each run is in
        `GET /api/v1/campaigns/{name}/runs/`.
        """
        return Response(earlier_services.ingested(earlier_services.find(self.query.get("campaign"))))


urlpatterns = [
    path("generate/<str:composition>", allow(Generate.as_view(), post="approve")),
    path("augment", allow(Augment.as_view(), post="approve")),
    path("evaluate", allow(Evaluate.as_view(), post="change_own")),
    path("etl", allow(Etl.as_view(), get="read")),
]
