"""Views of the native API for structures."""

from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import created, operation
from server.calculations import structures


class NewStructureSerializer(RequestSerializer):
    name = fields.Name("structure")
    format = fields.Choice(structures.FORMATS, "cif and vasp (POSCAR) need ASE on the server", default="extxyz")
    content = fields.Text("One structure in that format", max_length=structures.LARGEST, min_length=1)


class StructureSummarySerializer(Serializer):
    id, name, formula, atoms = fields.Count(), fields.Text(allow_null=True), fields.Text(), fields.Count()
    periodic, format, sha256 = fields.Flag(), fields.Text(), fields.Text()
    created_at, created_by = fields.Time(), fields.Text()


class StructureSerializer(StructureSummarySerializer):
    content = fields.Text("Extended XYZ")


class StructurePageSerializer(Serializer):
    next = fields.Count("`before` of the next page", allow_null=True)
    structures = fields.Items(StructureSummarySerializer())


class ListStructuresQuery(QuerySerializer):
    before = fields.Whole("Only structures before this number", min_value=1, max_value=fields.LARGEST)
    limit = fields.Whole("Largest number of structures in the answer", min_value=1, max_value=1000, default=100)


class Structures(ServerWide):
    """All structures."""

    @operation("listStructures", answers={200: StructurePageSerializer}, query=ListStructuresQuery)
    def get(self, request: Request) -> Response:
        """List the structures, the newest first, a page at a time."""
        found, more = structures.page(self.query["before"], self.query["limit"])
        return Response({"next": more, "structures": [structures.summary(one) for one in found]})

    @operation(
        "addStructure",
        NewStructureSerializer,
        answers={200: StructureSerializer, 201: StructureSerializer},
        errors=(409,),
    )
    def post(self, request: Request) -> Response:
        """Add a structure. It is stored as extended XYZ. If the same one is posted again, the answer is 200."""
        asked = self.body(request)
        made_by = caller.made_by(request._request)
        found, is_new = structures.create(asked["name"], asked["content"], asked["format"], **made_by)
        shown = structures.described(found)
        return created(shown, f"/api/v1/structures/{quote(str(found.name))}/") if is_new else Response(shown)


class OneStructure(ServerWide):
    """One structure."""

    @operation("getStructure", answers={200: StructureSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a structure with its content."""
        return Response(structures.described(structures.find(name)))

    @operation("deleteStructure", answers={204: None}, errors=(409,))
    def delete(self, request: Request, name: str) -> Response:
        """Delete a structure that no calculation uses."""
        found = structures.find(name)
        caller.check_owner(request._request, found)
        structures.delete(found)
        return Response(status=204)
