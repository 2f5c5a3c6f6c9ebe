"""Views of the native API for the caller's own account: identity, permissions, password."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import passwords, roles, users
from server.api import caller, fields
from server.api.auth import Challenge
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1 import token_checks
from server.api.v1.signin import require_json
from server.api.v1.tokens import TokenSerializer
from server.api.v1.users import NEW_PASSWORD, ROLE, Password, QuotaSerializer
from server.api.v1.view import View, operation
from server.core.errors import Conflict, Unauthenticated
from server.streams.quotas import quota_usage


class MeSerializer(Serializer):
    auth = fields.Choice(("required", "open"))
    user, role = fields.Text(allow_null=True), ROLE
    permissions = fields.Items(fields.Text())
    token = TokenSerializer(allow_null=True)
    quotas = fields.Items(QuotaSerializer())


class PasswordChangeSerializer(RequestSerializer):
    old, new = Password(), Password(**NEW_PASSWORD)


class Me(View):
    """The caller."""

    tag = "me"

    @operation("getMe", answers={200: MeSerializer})
    def get(self, request: Request) -> Response:
        """Show who you are and what you may do.

        `token` is the token of this call; it is null for a person who signed in. If the server is open (`auth` is open),
        there is no user, and everyone has all permissions and no quotas. `quotas` lists your usage of each quota with
        all of your tokens, and the usage by the token of this call (`of` is `token`).
        """
        who = caller.identity(request._request)
        if who is None:
            everybody = {"user": None, "role": None, "permissions": sorted(roles.ALL), "token": None, "quotas": []}
            return Response({"auth": "open", **everybody})
        user, token = token_checks.person(request._request), token_checks.token(request._request)
        assert user is not None
        uses = quota_usage.uses([user.pk])[user.pk]
        if token is not None:
            uses = [*uses, *quota_usage.uses_of_token(user.pk, token.pk)]
        return Response(
            {
                "auth": "required",
                "user": who.username,
                "role": roles.role_of(user) or None,
                "permissions": sorted(who.permissions),
                "token": None if token is None else TokenSerializer(token).data,
                "quotas": [use.described() for use in uses],
            }
        )


class MyPassword(View):
    """The caller's password."""

    tag = "me"

    @operation("changeMyPassword", PasswordChangeSerializer, answers={204: None}, errors=(409, 415))
    def post(self, request: Request) -> Response:
        """Change your password.

        All your sign-ins end, including this one, so sign in again. Your tokens keep working.
        """
        asked = request._request
        token_checks.check_is_person(asked, "changing a password")
        require_json(asked)
        given = self.body(request)
        user = token_checks.person(asked)
        if user is None:
            raise Conflict("this server requires no authentication (TAILRACE_AUTH=open), so you have no password")
        try:
            passwords.verify(asked, user.username, given["old"])
        except Unauthenticated as exc:
            raise Challenge("old is not your password", asked, code=exc.code) from None
        users.change_password(user, given["new"])
        return Response(status=204)
