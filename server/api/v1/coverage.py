"""How well a model knows each type of bond and each composition, over the native API."""

import threading

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.candidate import Candidate
from server.api.codec import only
from server.api.coverage import Coverage
from server.api.v1 import hot, query
from server.api.v1.databases import reached
from server.api.v1.openapi import documented, in_query, one_of_path
from server.api.v1.view import View
from server.streams.errors import Unavailable

_room = threading.BoundedSemaphore(max(1, settings.TAILRACE.working_threads // 4))
"""Room for requests that ask a model about many points, which may take seconds: most threads are left to others."""


class ModelCoverage(View):
    """Errors, uncertainty and distances, by type, composition and cell."""

    query = ("database",)

    @documented(
        "getCoverage",
        "How well a model knows each type and composition: errors, uncertainty, and the distance from what it learned",
        "By type (the stream's segment feature), by type and composition, and by cell of the database. "
        "`prequential_rmse` is over what the model predicted at the time, before it learned the observation; `rmse` and "
        "`std` (the mean of the predictive standard deviation) are what it says of the database's observations now. "
        "`distance` is the mean of the Euclidean distances of the database's vectors (the features s0, s1 … where the "
        "stream has a descriptor, else all numbers) from the nearest learned vector of the same type in another cell, "
        "`farthest` the largest of them. `reach` is the distance within which 95 % of the learned vectors have their own "
        "nearest, and `covered` the share of the database's vectors that lie within it. Only observations of cells count, "
        "without retracted ones. What can't be said is null.",
        parameters=[
            one_of_path("name", "The model"),
            in_query("database", "The database of interactions that it is tested on; none: no test"),
        ],
        answers={200: "Coverage"},
        errors=(404, 409),
    )
    def get(self, request: Request, name: str) -> Response:
        asked = request._request
        caller.check_model(asked, name)
        database = query.text(asked, "database")
        return Response(Coverage(name, None if database is None else reached(asked, database)).shown())

    @documented(
        "getCoverageOfCell",
        "How far the bonds of a cell without labels lie from what a model learned, and how unsure it is of them",
        "For `xs`, the features of each bond as an observation would have them, by type and of all together. Nothing of it "
        "is stored or learned. `distance`, `farthest`, `reach`, `covered` and `std` are those of `getCoverage`, and no cell "
        "is left out. Where the stream has a descriptor, the request names it, and each vector has just the numbers that "
        "the learned ones have.",
        parameters=[one_of_path("name", "The model")],
        body="Candidate",
        answers={200: "CandidateCoverage"},
        errors=(404, 409),
    )
    def post(self, request: Request, name: str) -> Response:
        asked = request._request
        query.only(asked, ())
        caller.check_model(asked, name)
        payload = self.payload(request)
        only(payload, "xs", "descriptor", required=("xs",))
        descriptor = hot.named_descriptor(payload)
        if not _room.acquire(blocking=False):
            raise Unavailable("as many models as may be at once are being asked what they cover; try again")
        try:
            return Response(Candidate(name, payload["xs"], descriptor).shown())
        finally:
            _room.release()
