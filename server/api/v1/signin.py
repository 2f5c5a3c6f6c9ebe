"""Views of the native API to sign in: a short-lived access token, and a cookie with a refresh token.

The cookie is signed, so that nobody can guess the number of a sign-in and end it. Browsers send it only to these addresses,
and only from pages of this server.
"""

from django.conf import settings
from django.contrib.auth.models import User, update_last_login
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import addresses, jwt, passwords, roles, sessions, signins, users
from server.accounts.caller import Caller
from server.accounts.models import SignIn
from server.api import fields
from server.api.auth import Challenge
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1.users import ROLE, Password
from server.api.v1.view import View, operation
from server.core.errors import Forbidden, Unauthenticated, Unsupported

COOKIE = "tailrace_refresh"
PATH = "/api/v1/signin/"
LONGEST_NAME = 150


class CredentialsSerializer(RequestSerializer):
    user, password = fields.Text(max_length=LONGEST_NAME), Password()


class SignedInSerializer(Serializer):
    token = fields.Text("The access token")
    expires_in = fields.Count("s")
    issued_at = fields.Time()
    user, role = fields.Text(), ROLE


class NothingSerializer(RequestSerializer):
    pass


class Begin(View):
    """Sign-in and sign-out."""

    @operation("signIn", CredentialsSerializer, answers={200: SignedInSerializer}, errors=(415,))
    def post(self, request: Request) -> Response:
        """Sign in with a password.

        Send the access token in the header `Authorization: Bearer …`. The refresh token is set as an HttpOnly cookie, for
        `POST /api/v1/signin/refresh/`. After repeated failures passwords are not checked for some time (429).
        """
        asked = request._request
        check_same_origin(asked)
        require_json(asked)
        given = self.body(request)
        try:
            user = passwords.verify(asked, given["user"], given["password"])
            sessions.set_caller(asked, user)
            sign_in, refresh = users.begin_sign_in(
                user, address=addresses.client_address(asked), agent=asked.headers.get("User-Agent", "")
            )
        except Unauthenticated as exc:
            raise Challenge(exc.message, asked, code=exc.code) from None
        update_last_login(User, user)
        return _answer(user, sign_in, refresh)

    @operation("signOut", answers={204: None})
    def delete(self, request: Request) -> Response:
        """Sign out. The access tokens and the refresh token of this sign-in stop working."""
        asked = request._request
        check_same_origin(asked)
        given = _cookie(asked)
        if given is not None:
            # This may be the newest refresh token of the sign-in, or an older one.
            sign_in = SignIn.objects.select_related("user").get(pk=int(given.split("_")[1]))
            sessions.set_caller(asked, sign_in.user)
            signins.end(sign_in)
        response = Response(status=204)
        response.delete_cookie(COOKIE, path=PATH, samesite="Strict")
        return response


class Refresh(View):
    """Exchange of the refresh token."""

    @operation("refreshSignIn", NothingSerializer, answers={200: SignedInSerializer}, errors=(409, 415))
    def post(self, request: Request) -> Response:
        """Exchange the refresh token for the next one, and get another access token.

        Each refresh token works once. If it is used again just after its first use, the answer is 409. If it is used again
        later, it was copied, and the sign-in ends.
        """
        asked = request._request
        check_same_origin(asked)
        require_json(asked)
        self.body(request)
        given = _cookie(asked)
        try:
            if given is None:
                raise Unauthenticated(f"nobody is signed in: POST {PATH} first", code="sign_in_ended")
            sign_in, refresh = signins.refresh(given)
        except Unauthenticated as exc:
            raise Challenge(exc.message, asked, code=exc.code) from None
        return _answer(sign_in.user, sign_in, refresh)


def check_same_origin(request: HttpRequest) -> None:
    """Check that the request doesn't come from a page of another origin.

    Raises
    ------
    Forbidden
        If it does.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    # A proxy may have ended TLS, so https and http are the same server.
    own = (f"{request.scheme}://{request.get_host()}", f"https://{request.get_host()}")
    if (origin is not None and origin not in own) or site not in (None, "same-origin", "none"):
        raise Forbidden(
            "the request came from a page of another origin, which may not sign anybody in or out", code="origin"
        )


def require_json(request: HttpRequest) -> None:
    """Check that the body is JSON. A form on any web page could send other content types.

    Raises
    ------
    Unsupported
        If it isn't.
    """
    if request.content_type != "application/json":
        raise Unsupported(f"content type {request.content_type!r} is not supported here: send application/json")


def _cookie(request: HttpRequest) -> str | None:
    given: str | None = request.get_signed_cookie(COOKIE, default=None, salt=COOKIE)
    return given


def _answer(user: User, sign_in: SignIn, refresh: str) -> Response:
    issued = jwt.issue(Caller(user.pk, user.username, 0), sign_in.pk)
    data = {**issued, "user": user.username, "role": roles.role_of(user) or None}
    response = Response(data, headers={"Cache-Control": "no-store"})
    response.set_signed_cookie(
        COOKIE,
        refresh,
        salt=COOKIE,
        max_age=int(signins.LIFETIME.total_seconds()),
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
    return response
