"""Views of the native API for evaluations of campaigns."""

from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1.campaigns import OfCampaign
from server.api.v1.view import created, operation
from server.campaigns import campaigns
from server.campaigns.evaluation_table import Evaluation
from server.campaigns.evaluations import kept, protocols


class NewEvaluationSerializer(RequestSerializer):
    kind = fields.Choice(protocols.KINDS, "What is learned, and what is tested")
    model = fields.Text(
        "One of the campaign's models; by default its first", max_length=200, required=False, allow_null=True
    )
    database = fields.Text(
        "Database of interactions whose bonds are learned and tested; by default all of the stream's cells",
        max_length=200,
        required=False,
        allow_null=True,
    )
    cell = fields.Text("The cell to test on, for `single_cell`", max_length=200, required=False, allow_null=True)
    folds = fields.Whole(
        "Parts that the families are dealt into; 5 by default",
        min_value=2,
        max_value=kept.MOST_FOLDS,
        required=False,
        allow_null=True,
    )
    seed = fields.Whole(
        "Seed of the folds and the bootstrap; by default the campaign's",
        min_value=0,
        max_value=kept.LARGEST_SEED,
        required=False,
        allow_null=True,
    )


class EvaluationSerializer(Serializer):
    campaign, number, kind = fields.Text(), fields.Count(), fields.Choice(protocols.KINDS)
    model, database, cell = fields.Text(), fields.Text(allow_null=True), fields.Text(allow_null=True)
    folds, seed = fields.Count(), fields.Count()
    state, reason = fields.Choice(Evaluation.STATES), fields.Text("Why it failed")
    progress = fields.Number("0 to 1", min_value=0, max_value=1)
    made_from = fields.Map(None, "Positions of the log, fingerprints of the database and the recipe, and versions")
    fingerprint, created_at, created_by = fields.Text("SHA-256 of the result"), fields.Time(), fields.Text()
    ended_at = fields.Time(allow_null=True)


class WholeEvaluationSerializer(EvaluationSerializer):
    result = fields.Map(None, "What came out, as its kind has it; null until it is done", allow_null=True)


class EvaluationListSerializer(Serializer):
    evaluations = fields.Items(EvaluationSerializer())


class Evaluations(OfCampaign):
    """The evaluations of a campaign."""

    @operation("listEvaluations", answers={200: EvaluationListSerializer})
    def get(self, request: Request, name: str) -> Response:
        """List the evaluations of a campaign without their results, the oldest first."""
        return Response({"evaluations": kept.listing(campaigns.find(name))})

    @operation("createEvaluation", NewEvaluationSerializer, answers={201: WholeEvaluationSerializer}, errors=(404, 409))
    def post(self, request: Request, name: str) -> Response:
        """Evaluate a model of a campaign. The evaluation is computed in the background: ask for it until it is done.

        Estimators of the model's recipe learn anew, and are tested on families that they have not learned. `rmse` has a 90 %
        interval, `low` to `high`, by a bootstrap over families; all are in the target's unit.

        - `cross_validation`: each fold of families is tested by the others.
        - `single_cell`: one cell is tested by all other families.
        - `across_compositions`: each composition is tested by the others.
        - `calibration`: cross-validation, and by type the factor `scale` that makes standard deviations hold.
        - `learning_curve`: errors against families learned, and what one more would bring.
        - `coverage`: the share of learned environments with a neighbour of another family.
        """
        campaign = self.own(request, name)
        made = kept.ask(campaign, self.body(request), caller.name(request._request))
        return created(
            kept.described(made, whole=True), f"/api/v1/campaigns/{quote(campaign.name)}/evaluations/{made.number}/"
        )


class OneEvaluation(OfCampaign):
    """One evaluation."""

    @operation("getEvaluation", answers={200: WholeEvaluationSerializer})
    def get(self, request: Request, name: str, number: str) -> Response:
        """Show an evaluation: how far it is, and its result when it is done."""
        return Response(kept.described(kept.find(campaigns.find(name), number), whole=True))
