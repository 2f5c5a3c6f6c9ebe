"""Views of the native API for programs."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import fields
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import operation
from server.calculations import programs


class ProgramClusterSerializer(Serializer):
    name, version, seen_at = fields.Text(), fields.Text(), fields.Time("When it was last advertised")


class AnalysisSerializer(Serializer):
    name, title, description = fields.Text(), fields.Text(), fields.Text()
    requires = fields.Items(fields.Text(), "Analyses that it needs")


class ProgramSerializer(Serializer):
    name, title, description = fields.Text(), fields.Text(), fields.Text()
    versions, clusters = fields.Items(fields.Text()), fields.Items(ProgramClusterSerializer())
    schema = fields.Map(None, "JSON Schema of its parameters")
    needs_structure = fields.Flag("Null: optional", allow_null=True)
    analyses = fields.Items(AnalysisSerializer())
    requires_approval = fields.Flag()
    cost_limit = fields.Number("Process hours above which a calculation needs approval", allow_null=True)


class ProgramListSerializer(Serializer):
    programs = fields.Items(ProgramSerializer())


class ProgramRuleSerializer(RequestSerializer):
    requires_approval = fields.Flag(required=False)
    cost_limit = fields.Number(
        "Process hours; null: no limit", min_value=0, max_value=fields.LARGEST_NUMBER, allow_null=True, required=False
    )


class Programs(ServerWide):
    """All programs."""

    @operation("listPrograms", answers={200: ProgramListSerializer})
    def get(self, request: Request) -> Response:
        """List the programs that the agents of all clusters offer."""
        return Response({"programs": programs.merged()})


class OneProgram(ServerWide):
    """One program."""

    @operation("getProgram", answers={200: ProgramSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a program: where it runs, the JSON Schema of its parameters, its analyses."""
        return Response(programs.find(name))

    @operation("changeProgram", ProgramRuleSerializer, answers={200: ProgramSerializer})
    def patch(self, request: Request, name: str) -> Response:
        """Set when calculations with a program need approval."""
        return Response(programs.change_rule(name, self.body(request)))
