"""Views of the native API for descriptor definitions."""

from typing import Any
from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1.view import View, created, operation
from server.cells import descriptors

DIGEST: dict[str, Any] = {"help_text": "SHA-256, in hex", "pattern": "^[0-9a-f]{64}$"}


class NewDescriptorSerializer(RequestSerializer):
    name = fields.Name("descriptor")
    content = fields.Field("At most 1 MiB as canonical JSON, 50 deep", {"type": "object"})


class DescriptorSummarySerializer(Serializer):
    name, fingerprint = fields.Text(), fields.Text(**DIGEST)
    created_at, created_by = fields.Time(), fields.Text()


class DescriptorSerializer(DescriptorSummarySerializer):
    content = fields.Map()


class DescriptorListSerializer(Serializer):
    descriptors = fields.Items(DescriptorSummarySerializer())


class Descriptors(View):
    """All definitions."""

    @operation("listDescriptors", answers={200: DescriptorListSerializer})
    def get(self, request: Request) -> Response:
        """List the descriptor definitions."""
        return Response({"descriptors": descriptors.listing()})

    @operation(
        "createDescriptor",
        NewDescriptorSerializer,
        answers={200: DescriptorSerializer, 201: DescriptorSerializer},
        errors=(409,),
    )
    def post(self, request: Request) -> Response:
        """Store a descriptor definition. It never changes afterwards.

        The server stores its canonical JSON (sorted keys, no blanks); `fingerprint` is the SHA-256 of this JSON. If the same
        definition is posted again, the answer is 200 and nothing changes.
        """
        caller.check_unlimited(request._request, "descriptors")
        given = self.body(request)
        found, is_new = descriptors.create(given["name"], given["content"], caller.name(request._request))
        shown = descriptors.described(found)
        return created(shown, f"/api/v1/descriptors/{quote(found.name)}/") if is_new else Response(shown)


class OneDescriptor(View):
    """One definition."""

    @operation("getDescriptor", answers={200: DescriptorSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a descriptor definition."""
        return Response(descriptors.described(descriptors.find(name)))
