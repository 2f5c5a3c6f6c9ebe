"""Views of the native API for experiments."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.v1.token_checks import ServerWide
from server.api.v1.tracking_bodies import (
    ExperimentChangesSerializer,
    ExperimentListSerializer,
    ExperimentSerializer,
    ExperimentsQuery,
    NewExperimentSerializer,
)
from server.api.v1.view import created, operation
from server.tracking import experiments
from server.tracking.models import Experiment


class OfTracking(ServerWide):
    """Base of views of experiments."""

    tag = "tracking"
    path = {"number": fields.Text("Number of the experiment", max_length=200, min_length=1)}

    def own(self, request: Request, number: str) -> Experiment:
        """Return the experiment if the caller may change it."""
        found = experiments.by_number(number)
        caller.check_owner(request._request, found)
        return found


class Experiments(OfTracking):
    """All experiments."""

    @operation("listExperiments", answers={200: ExperimentListSerializer}, query=ExperimentsQuery)
    def get(self, request: Request) -> Response:
        """List experiments by name, with how many runs each has."""
        lifecycle = self.query["lifecycle"]
        return Response(
            {"experiments": experiments.listing(None if lifecycle == "all" else lifecycle, self.query["name"])}
        )

    @operation("createExperiment", NewExperimentSerializer, answers={201: ExperimentSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Create an experiment. A run also creates the experiment that it names, if it is missing."""
        asked = self.body(request)
        made = experiments.create(
            asked["name"],
            description=asked["description"],
            tags=asked.get("tags"),
            **caller.made_by(request._request),
        )
        return created(experiments.described([made])[0], f"/api/v1/experiments/{made.pk}/")


class OneExperiment(OfTracking):
    """One experiment."""

    @operation("getExperiment", answers={200: ExperimentSerializer})
    def get(self, request: Request, number: str) -> Response:
        """Show an experiment, also a deleted one."""
        return Response(experiments.described([experiments.by_number(number)])[0])

    @operation("changeExperiment", ExperimentChangesSerializer, answers={200: ExperimentSerializer}, errors=(409,))
    def patch(self, request: Request, number: str) -> Response:
        """Change the name, the description or tags of an experiment."""
        changed = experiments.change(self.own(request, number), self.body(request))
        return Response(experiments.described([changed])[0])

    @operation("deleteExperiment", answers={204: None})
    def delete(self, request: Request, number: str) -> Response:
        """Delete an experiment and its runs. They can be restored until they are removed for good.

        `TAILRACE_RUN_RETENTION_DAYS` says when that is.
        """
        experiments.delete(self.own(request, number))
        return Response(status=204)


class RestoreExperiment(OfTracking):
    """Restoring an experiment."""

    @operation("restoreExperiment", answers={200: ExperimentSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Restore a deleted experiment, with the runs that were deleted with it."""
        restored = experiments.restore(self.own(request, number))
        return Response(experiments.described([restored])[0])
