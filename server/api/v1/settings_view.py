"""The settings over the native API."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import effective
from server.api.v1 import credential
from server.api.v1.openapi import documented


class Settings(credential.ServerWide):
    """What the environment set."""

    @documented(
        "listSettings",
        "List the settings that are in force",
        "Secrets are hidden. They are set in the server's environment and can't be changed over the API.",
        tag="settings",
        answers={200: "SettingList"},
    )
    def get(self, request: Request) -> Response:
        return Response({"settings": effective.shown()})
