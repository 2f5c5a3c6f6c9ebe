"""View of the native API for the server's settings."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import effective_settings
from server.api import fields
from server.api.serializers import Serializer
from server.api.v1 import token_checks
from server.api.v1.view import operation


class SettingSerializer(Serializer):
    name, value, description = fields.Text(), fields.Field(), fields.Text()
    default = fields.Field()  # type: ignore[assignment]


class SettingListSerializer(Serializer):
    settings = fields.Items(SettingSerializer())


class Settings(token_checks.ServerWide):
    """The server's settings."""

    @operation("listSettings", answers={200: SettingListSerializer})
    def get(self, request: Request) -> Response:
        """List the current settings.

        Secrets are hidden. Settings come from the server's environment and cannot be changed over the API.
        """
        return Response({"settings": effective_settings.all_settings()})
