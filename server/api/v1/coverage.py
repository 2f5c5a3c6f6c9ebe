"""How well a model knows each type of bond and each composition, over the native API."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1 import hot
from server.api.v1.databases import reached
from server.api.v1.observations import DESCRIPTOR, FEATURES, LIMITS
from server.api.v1.view import View, operation
from server.cells import families
from server.cells.candidates import Candidate
from server.cells.comparisons import COMPUTING
from server.cells.coverage import Coverage


class CandidateRowSerializer(Serializer):
    learned = fields.Count("Observations that the model has learned")
    tested = fields.Count("Bonds in the request")
    refused = fields.Count("Bonds that the model does not predict")
    std = fields.Number("Mean predictive standard deviation", allow_null=True)
    distance, farthest = fields.Number(allow_null=True), fields.Number(allow_null=True)
    covered = fields.Number(min_value=0, max_value=1, allow_null=True)


class CandidateTypeSerializer(CandidateRowSerializer):
    reach = fields.Number(allow_null=True)


class CandidateCoverageSerializer(Serializer):
    model = fields.Text()
    at = fields.Count("The last observation that the model had learned")
    types = fields.Map(CandidateTypeSerializer())
    all = CandidateRowSerializer()


class CoverageRowSerializer(CandidateRowSerializer):
    tested = fields.Count("Observations of the database")
    scored = fields.Count("Observations that the model had predicted before it learned them")
    prequential_rmse, rmse = fields.Number(allow_null=True), fields.Number(allow_null=True)


class CoverageTypeSerializer(CoverageRowSerializer):
    reach = fields.Number(allow_null=True)
    compositions = fields.Map(CoverageRowSerializer())


class CoverageSerializer(Serializer):
    model = fields.Text()
    at = fields.Count("The last observation that the model had learned")
    database = fields.Text(allow_null=True)
    types = fields.Map(CoverageTypeSerializer())
    cells = fields.Map(CoverageRowSerializer())


class CandidateSerializer(RequestSerializer):
    xs = fields.Described(fields.Items(FEATURES, min_length=1, max_length=LIMITS.max_points))
    descriptor = DESCRIPTOR
    family = fields.Text(
        "Family of the cell, so that its learned relatives are left out; by default nothing is left out",
        required=False,
        max_length=families.LONGEST,
        min_length=1,
    )


class GetCoverageQuery(QuerySerializer):
    database = fields.Text(
        "The database of interactions to test the model on; by default it is not tested",
        max_length=fields.LONGEST_IN_QUERY,
    )


class ModelCoverage(View):
    """Errors, uncertainty and distances, by type, composition and cell."""

    @operation("getCoverage", answers={200: CoverageSerializer}, query=GetCoverageQuery, errors=(409, 413))
    def get(self, request: Request, name: str) -> Response:
        """How well a model knows each type and composition: errors, uncertainty, and the distance from what it learned.

        The answer has rows by type (the stream's segment feature), by type and composition, and by cell of the database.
        `prequential_rmse` is the RMSE of the predictions that the model made before it learned each observation. `rmse`
        and `std` (the mean of the predictive standard deviation) are those of the current model on the database.
        `distance` is the mean Euclidean distance of the database's vectors from the nearest learned vector of the same
        type in another family, and `farthest` is the largest of these distances. Vectors are the features s0, s1 … if the
        stream has a descriptor, otherwise all numeric features. `reach` is the distance within which 95 % of the learned
        vectors have their nearest vector of another family. A family is a cell and its deformed copies. `covered` is the share of the database's vectors within `reach`. Only
        observations of cells count, without retracted ones. A value that cannot be computed is null.
        """
        asked = request._request
        caller.check_model(asked, name)
        database = self.query["database"]
        with COMPUTING.held(caller.key(asked)):
            return Response(Coverage(name, None if database is None else reached(asked, database)).shown())

    @operation("getCoverageOfCell", CandidateSerializer, answers={200: CandidateCoverageSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> Response:
        """How far the bonds of a cell without labels are from the learned ones, and how uncertain their predictions are.

        `xs` contains the features of each bond, as in an observation. The answer has a row for each type and one for all
        bonds together. Nothing is stored or learned. `distance`, `farthest`, `reach`, `covered` and `std` are defined as in
        `getCoverage`, but no cell is left out unless `family` names
        the cell that this one is a deformed copy of, or its family. If the stream has a descriptor, the request must name it, and each
        vector must have exactly the numbers that the learned vectors have.
        """
        asked = request._request
        caller.check_model(asked, name)
        payload = self.body(request)
        descriptor = hot.named_descriptor(payload)
        with COMPUTING.held(caller.key(asked)):
            return Response(Candidate(name, payload["xs"], descriptor, payload.get("family")).shown())
