"""Descriptor definitions over the native API."""

from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.codec import only
from server.api.v1.openapi import documented, one_of_path
from server.api.v1.view import View, created
from server.cells import descriptors


class Descriptors(View):
    """All definitions."""

    @documented("listDescriptors", "List the descriptor definitions", answers={200: "DescriptorList"})
    def get(self, request: Request) -> Response:
        return Response({"descriptors": descriptors.listing()})

    @documented(
        "createDescriptor",
        "Store a descriptor definition, which then never changes",
        "What is stored is its canonical JSON: sorted keys, no blanks; `fingerprint` is the SHA-256 of that. The same "
        "definition posted again is answered with 200 and changes nothing.",
        body="NewDescriptor",
        answers={200: "Descriptor", 201: "Descriptor"},
        errors=(409,),
    )
    def post(self, request: Request) -> Response:
        caller.check_unlimited(request._request, "descriptors")
        payload = self.payload(request)
        only(payload, "name", "content", required=("name", "content"))
        found, is_new = descriptors.create(payload["name"], payload["content"], caller.name(request._request))
        shown = descriptors.described(found)
        return created(shown, f"/api/v1/descriptors/{quote(found.name)}/") if is_new else Response(shown)


class OneDescriptor(View):
    """One definition."""

    @documented(
        "getDescriptor",
        "Look at a descriptor definition",
        parameters=[one_of_path("name", "The descriptor")],
        answers={200: "Descriptor"},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> Response:
        return Response(descriptors.described(descriptors.find(name)))
