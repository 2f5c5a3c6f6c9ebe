"""The caller of the native API: who they are, what they may do, their password."""

from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import passwords, roles, users
from server.api import caller
from server.api.auth import Challenge
from server.api.codec import only
from server.api.v1 import credential
from server.api.v1.openapi import documented
from server.api.v1.signin import require_json
from server.api.v1.tokens import described
from server.api.v1.view import View
from server.streams import quota_usage
from server.streams.errors import Conflict, Unauthenticated


class Me(View):
    """Who is calling."""

    @documented(
        "getMe",
        "Who you are to the server, and what you may do",
        "`token` is the one you called with, null for a person who signed in. Where the server asks nobody who they are "
        "(`auth` is open), there is no user, and everybody has every permission and no quota. `quotas` has what you use of "
        "each, with all of your tokens, and (`of` is `token`) by the token you called with.",
        answers={200: "Me"},
    )
    def get(self, request: Request) -> Response:
        who = caller.identity(request._request)
        if who is None:
            everybody = {"user": None, "role": None, "permissions": sorted(roles.ALL), "token": None, "quotas": []}
            return Response({"auth": "open", **everybody})
        user, token = credential.person(request._request), credential.token(request._request)
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
                "token": None if token is None else described(token),
                "quotas": [use.described() for use in uses],
            }
        )


class MyPassword(View):
    """A person's own password."""

    @documented(
        "changeMyPassword",
        "Change your password",
        "All your sign-ins end, this one too: sign in again. Your tokens go on working.",
        tag="me",
        body="PasswordChange",
        answers={204: None},
        errors=(409, 415),
    )
    def post(self, request: Request) -> Response:
        asked = request._request
        credential.check_is_person(asked, "changing a password")
        require_json(asked)
        payload = self.payload(request)
        only(payload, "old", "new", required=("old", "new"))
        old = passwords.check_text(payload["old"], "old")
        user = credential.person(asked)
        if user is None:
            raise Conflict("nobody is asked who they are here (TAILRACE_AUTH=open), so there is no own password")
        try:
            passwords.verified(asked, user.username, old)
        except Unauthenticated as exc:
            raise Challenge("old is not your password", asked, code=exc.code) from None
        users.change_password(user, payload["new"])
        return Response(status=204)
