"""Views of the native API for compositions."""

from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import created, operation
from server.campaigns import compositions, formulas

ALIASES = "Other ways to write it, such as Cu49Zr49Al2"


class NewCompositionSerializer(RequestSerializer):
    name = fields.Text(
        "Elements and their amounts, on any scale, such as Zr49Cu49Al2", max_length=formulas.LONGEST, min_length=1
    )
    aliases = fields.Items(
        fields.Text(max_length=formulas.LONGEST), ALIASES, max_length=compositions.MOST_ALIASES, default=[]
    )
    notes = fields.Text(max_length=compositions.LONGEST_NOTES, default="")


class CompositionChangesSerializer(RequestSerializer):
    aliases = fields.Items(
        fields.Text(max_length=formulas.LONGEST), ALIASES, max_length=compositions.MOST_ALIASES, required=False
    )
    notes = fields.Text(max_length=compositions.LONGEST_NOTES, required=False)


class CompositionCountsSerializer(Serializer):
    cells = fields.Count("Cells that are no deformed copies")
    deformations = fields.Count("Deformed copies")
    labeled, labels = fields.Count("Labeled cells, deformed or not"), fields.Count("Labeled bonds")
    failed, runs = fields.Count("Cells whose calculation failed"), fields.Count("Runs of campaigns")


class CompositionSerializer(Serializer):
    name, key = fields.Text(), fields.Text("Elements by the alphabet, with shares of 100")
    aliases, notes, counts = fields.Items(fields.Text()), fields.Text(), CompositionCountsSerializer()
    created_at, created_by = fields.Time(), fields.Text()


class CompositionListSerializer(Serializer):
    compositions = fields.Items(CompositionSerializer())


class Compositions(ServerWide):
    """All compositions."""

    @operation("listCompositions", answers={200: CompositionListSerializer})
    def get(self, request: Request) -> Response:
        """List the compositions by name, with what there is of each."""
        return Response({"compositions": compositions.listing()})

    @operation(
        "addComposition", NewCompositionSerializer, answers={200: CompositionSerializer, 201: CompositionSerializer}
    )
    def post(self, request: Request) -> Response:
        """Add a composition. If it is there already, written in any way, the answer is 200."""
        asked = self.body(request)
        found, is_new = compositions.create(
            asked["name"], aliases=asked["aliases"], notes=asked["notes"], **caller.made_by(request._request)
        )
        shown = compositions.described([found])[0]
        return created(shown, f"/api/v1/compositions/{quote(found.name)}/") if is_new else Response(shown)


class OneComposition(ServerWide):
    """One composition."""

    tag = "compositions"

    @operation("getComposition", answers={200: CompositionSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a composition. Its name may be written in any way."""
        return Response(compositions.described([compositions.find(name)])[0])

    @operation("changeComposition", CompositionChangesSerializer, answers={200: CompositionSerializer})
    def patch(self, request: Request, name: str) -> Response:
        """Change the notes or the aliases of a composition."""
        found = compositions.find(name)
        caller.check_owner(request._request, found)
        return Response(compositions.described([compositions.change(found, self.body(request))])[0])

    @operation("deleteComposition", answers={204: None}, errors=(409,))
    def delete(self, request: Request, name: str) -> Response:
        """Delete a composition. Refused while a campaign that has not ended has it."""
        found = compositions.find(name)
        caller.check_owner(request._request, found)
        compositions.delete(found)
        return Response(status=204)
