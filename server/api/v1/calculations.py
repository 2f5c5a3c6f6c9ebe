"""Views of the native API for calculations."""

from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.codec import answer
from server.api.serializers import QuerySerializer, RequestSerializer
from server.api.v1.calculation_bodies import (
    CalculationListSerializer,
    CalculationSerializer,
    NewCalculationSerializer,
    SubmittedSerializer,
)
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import created, operation
from server.calculations import acting, clusters, deleting, reading, structures, submitting
from server.calculations.models import Calculation
from server.core.errors import Forbidden
from server.core.json_codec import loads


class ListCalculationsQuery(QuerySerializer):
    state = fields.Choice(Calculation.STATES, "Only calculations in this state")
    owner = fields.Text("Only calculations of this user", max_length=fields.LONGEST_IN_QUERY)
    cluster = fields.Text("Only calculations on this cluster", max_length=fields.LONGEST_IN_QUERY)
    program = fields.Text("Only calculations with this program", max_length=fields.LONGEST_IN_QUERY)
    structure = fields.Text("Only calculations of this structure", max_length=fields.LONGEST_IN_QUERY)
    text = fields.Text("Only calculations whose name contains this text", max_length=fields.LONGEST_IN_QUERY)
    before = fields.Whole("Only calculations before this number", min_value=1, max_value=fields.LARGEST)
    limit = fields.Whole("Largest number of calculations in the answer", min_value=1, max_value=1000, default=100)


class GetCalculationQuery(QuerySerializer):
    step = fields.Text("Only the step of this name", max_length=fields.LONGEST_IN_QUERY)


class ChangesSerializer(RequestSerializer):
    name = fields.Text(max_length=200, min_length=1, required=False)
    description = fields.Text(max_length=10_000, required=False)
    priority = fields.Whole("Needs the permission `approve`", min_value=0, max_value=100, required=False)


class ReasonSerializer(RequestSerializer):
    reason = fields.Text("Why", max_length=1_000, required=False, default="")


class DeletionQuery(QuerySerializer):
    confirm = fields.Text("Name of the calculation, to confirm that it is deleted", max_length=fields.LONGEST_IN_QUERY)


class CloneSerializer(RequestSerializer):
    changes = fields.Map(None, "Fields of a new calculation that differ", required=False, default={})


class DecisionSerializer(ReasonSerializer):
    decision = fields.Choice(acting.DECISIONS, "run_again: with the next fence; failed: give it up")


def _found(number: str) -> Calculation:
    return acting.find(number)


def _own(request: Request, number: str) -> Calculation:
    """Return a calculation that the caller may change."""
    found = acting.find(number)
    caller.check_owner(request._request, found)
    return found


def _shown(request: Request, number: int, step: str | None = None) -> HttpResponse:
    found = acting.find(number)
    with reading.room(found, caller.key(request._request)):
        return answer(reading.described(found, step))  # its data and its text are in memory together only here


class Calculations(ServerWide):
    """All calculations."""

    @operation("listCalculations", answers={200: CalculationListSerializer}, query=ListCalculationsQuery, errors=(404,))
    def get(self, request: Request) -> Response:
        """List calculations, the newest first, a page at a time. `next` is the `before` of the next page."""
        query = dict(self.query)
        if query["cluster"] is not None:
            query["cluster"] = clusters.find(query["cluster"]).pk
        if query["structure"] is not None:
            query["structure"] = structures.find(query["structure"]).pk
        found, more = reading.page(**query)
        return Response({"next": more, "calculations": found})

    @operation(
        "submitCalculation",
        NewCalculationSerializer,
        answers={200: SubmittedSerializer, 201: SubmittedSerializer},
        errors=(404, 409),
    )
    def post(self, request: Request) -> Response:
        """Submit a calculation: one step, a list of steps with parents, or a scan of a parameter.

        Parameters are checked against the program's JSON Schema. If a calculation with identical input is done already
        (the same programs and versions, parameters, structures and parents), it is returned in `identical`, nothing is
        created, and the answer is 200; `again` submits it anyway. A request that is repeated with the same `key` is
        answered as the first one. A calculation that needs approval waits for it.
        """
        return _submit(request, self.body(request))


def _submit(request: Request, asked: dict[str, Any]) -> Response:
    if asked.get("priority", 50) > 50 and not caller.may(request._request, "approve"):
        raise Forbidden("a priority above 50 needs the permission 'approve': ask a moderator to raise it")
    made, same = submitting.submit(asked, **caller.made_by(request._request))
    if made is None:
        return Response({"created": False, "identical": same, "calculation": None})
    shown = {"created": True, "identical": [], "calculation": reading.described(acting.find(made.pk))}
    return created(shown | {"id": made.pk}, f"/api/v1/calculations/{made.pk}/")


class OneCalculation(ServerWide):
    """One calculation."""

    tag = "calculations"

    @operation("getCalculation", answers={200: CalculationSerializer}, query=GetCalculationQuery)
    def get(self, request: Request, number: str) -> HttpResponse:
        """Show a calculation: its steps with parents, attempts and results, and its transitions.

        If all results together are larger than 4 MiB, those of the last steps say `left_out`. With `step`, the answer has this
        step alone, with its results.
        """
        return _shown(request, _found(number).pk, self.query["step"])

    @operation("changeCalculation", ChangesSerializer, answers={200: CalculationSerializer})
    def patch(self, request: Request, number: str) -> HttpResponse:
        """Change the name, the description or the priority of a calculation."""
        asked = self.body(request)
        may_approve = caller.may(request._request, "approve")
        if "priority" in asked and not may_approve:
            raise Forbidden("changing a priority needs the permission 'approve': ask a moderator")
        found = _found(number) if may_approve and set(asked) == {"priority"} else _own(request, number)
        acting.change_fields(found.pk, asked)
        return _shown(request, found.pk)

    @operation("deleteCalculation", answers={204: None}, query=DeletionQuery, errors=(409,))
    def delete(self, request: Request, number: str) -> Response:
        """Delete a calculation that has ended, permanently: its steps, results, files, logs and transitions.

        `confirm` must be its name. Its owner and admins may do this. Observations that it posted stay in their streams, and
        models keep what they learned from them. Its files on the cluster are deleted by the cluster's agent.
        """
        found = _found(number)
        if not caller.may(request._request, "manage_clusters"):
            caller.check_own(request._request, found)
        deleting.delete(found.pk, caller.name(request._request), self.query["confirm"])
        return Response(status=204)


class Action(ServerWide):
    """Base of what people do with a whole calculation."""

    tag = "calculations"
    act: ClassVar[Any]
    of_anybody: ClassVar[bool] = False

    def perform(self, request: Request, number: str) -> HttpResponse:
        reason = self.body(request)["reason"] if int(request._request.META.get("CONTENT_LENGTH") or 0) else ""
        found = _found(number) if self.of_anybody else _own(request, number)
        type(self).act(found.pk, caller.name(request._request), reason)
        return _shown(request, found.pk)


class Approve(Action):
    """Approving a calculation."""

    act, of_anybody = staticmethod(acting.approve), True

    @operation("approveCalculation", ReasonSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> HttpResponse:
        """Approve a calculation that needs it."""
        return self.perform(request, number)


class Reject(Action):
    """Rejecting a calculation."""

    act, of_anybody = staticmethod(acting.reject), True

    @operation("rejectCalculation", ReasonSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> HttpResponse:
        """Reject a calculation that needs approval: its steps are cancelled."""
        return self.perform(request, number)


class Hold(Action):
    """Holding a calculation."""

    act = staticmethod(acting.hold)

    @operation("holdCalculation", ReasonSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> HttpResponse:
        """Hold the steps back that were not submitted yet."""
        return self.perform(request, number)


class ReleaseCalculation(Action):
    """Releasing a calculation."""

    act = staticmethod(acting.release)

    @operation("releaseCalculation", ReasonSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> HttpResponse:
        """Release the held steps."""
        return self.perform(request, number)


class Cancel(Action):
    """Cancelling a calculation."""

    act = staticmethod(acting.cancel)

    @operation("cancelCalculation", ReasonSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> HttpResponse:
        """Cancel the steps that have not ended. The agent cancels jobs that were submitted."""
        return self.perform(request, number)


class Retry(Action):
    """Running steps again."""

    act = staticmethod(acting.retry)

    @operation("retryCalculation", ReasonSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> HttpResponse:
        """Run the steps again that failed, did not converge, or were cancelled. Blocked steps follow."""
        return self.perform(request, number)


class Clone(ServerWide):
    """Submitting a calculation again, with changes."""

    tag = "calculations"

    @operation(
        "cloneCalculation",
        CloneSerializer,
        answers={200: SubmittedSerializer, 201: SubmittedSerializer},
        errors=(404, 409),
    )
    def post(self, request: Request, number: str) -> Response:
        """Submit the same calculation with changes: the fields in `changes` take the place of the former ones."""
        asked = loads(_found(number).asked) | self.body(request)["changes"]
        asked = {name: value for name, value in asked.items() if value is not None}
        serializer = NewCalculationSerializer(data=asked)
        serializer.is_valid(raise_exception=True)
        return _submit(request, serializer.validated_data)


class Undecided(ServerWide):
    """Deciding about a step whose agent lost it or is silent."""

    tag = "calculations"

    @operation("decideStep", DecisionSerializer, answers={200: CalculationSerializer}, errors=(409,))
    def post(self, request: Request, number: str, step: str) -> HttpResponse:
        """Decide what becomes of a step that was submitted, and whose agent lost it or is silent.

        Nothing but this starts such a step again, because its job may still run. A valid result of the former attempt
        counts whenever it comes.
        """
        asked = self.body(request)
        found = _found(number)
        acting.decide(found.pk, step, asked["decision"], caller.name(request._request), asked["reason"])
        return _shown(request, found.pk)
