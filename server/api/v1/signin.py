"""People sign in over the native API: a short-lived access token, and a cookie with a refresh token.

The cookie is signed, so that nobody who guesses the number of a sign-in can end it; it goes to these addresses alone, and
only from pages of this server.
"""

from django.conf import settings
from django.contrib.auth.models import User, update_last_login
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import addresses, jwt, passwords, roles, sessions, signins, users
from server.accounts.identity import Identity
from server.accounts.models import SignIn
from server.api.auth import Challenge
from server.api.codec import only
from server.api.v1.openapi import documented
from server.api.v1.view import View
from server.streams.errors import Forbidden, Unauthenticated, Unsupported
from server.streams.validation import check_text

COOKIE = "tailrace_refresh"
PATH = "/api/v1/signin/"
LONGEST_NAME = 150


class Begin(View):
    """Signing in and out."""

    @documented(
        "signIn",
        "Sign in with a password",
        "The access token goes into `Authorization: Bearer …`; the refresh token into an HttpOnly cookie, for "
        "`POST /api/v1/signin/refresh/`. After repeated failures no password is looked at for a while (429).",
        body="Credentials",
        answers={200: "SignedIn"},
        errors=(415,),
    )
    def post(self, request: Request) -> Response:
        asked = request._request
        check_same_origin(asked)
        require_json(asked)
        payload = self.payload(request)
        only(payload, "user", "password", required=("user", "password"))
        name = check_text(payload["user"], "user", LONGEST_NAME)
        try:
            user = passwords.verified(asked, name, passwords.check_text(payload["password"], "password"))
            sessions.act_as(asked, user)
            sign_in, refresh = users.begin_sign_in(
                user, address=addresses.of(asked), agent=asked.headers.get("User-Agent", "")
            )
        except Unauthenticated as exc:
            raise Challenge(exc.message, asked, code=exc.code) from None
        update_last_login(User, user)
        return _answer(user, sign_in, refresh)

    @documented(
        "signOut",
        "Sign out: the access tokens and the refresh token of this sign-in work no more",
        answers={204: None},
    )
    def delete(self, request: Request) -> Response:
        asked = request._request
        check_same_origin(asked)
        given = _cookie(asked)
        if given is not None:
            # Whichever copy of its refresh tokens this is, the newest or an older one.
            sign_in = SignIn.objects.select_related("user").get(pk=int(given.split("_")[1]))
            sessions.act_as(asked, sign_in.user)
            signins.end(sign_in)
        response = Response(status=204)
        response.delete_cookie(COOKIE, path=PATH, samesite="Strict")
        return response


class Refresh(View):
    """The next access token."""

    @documented(
        "refreshSignIn",
        "Exchange the refresh token for the next one, and get another access token",
        "Each refresh token works once: one that comes again, unless just after its first use (409), was copied, and ends "
        "the sign-in.",
        tag="signin",
        body="Nothing",
        answers={200: "SignedIn"},
        errors=(409, 415),
    )
    def post(self, request: Request) -> Response:
        asked = request._request
        check_same_origin(asked)
        require_json(asked)
        only(self.payload(request))
        given = _cookie(asked)
        try:
            if given is None:
                raise Unauthenticated(f"nobody is signed in: POST {PATH} first", code="sign_in_ended")
            sign_in, refresh = signins.refresh(given)
        except Unauthenticated as exc:
            raise Challenge(exc.message, asked, code=exc.code) from None
        return _answer(sign_in.user, sign_in, refresh)


def check_same_origin(request: HttpRequest) -> None:
    """Refuse what a browser sends for a page of another origin.

    Raises
    ------
    Forbidden
        Then.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    # A proxy may have ended TLS: https where we see http is the same server.
    own = (f"{request.scheme}://{request.get_host()}", f"https://{request.get_host()}")
    if (origin is not None and origin not in own) or site not in (None, "same-origin", "none"):
        raise Forbidden("this came from a page of another origin, which may not sign anybody in or out", code="origin")


def require_json(request: HttpRequest) -> None:
    """Refuse a body that a form of any page could have sent.

    Raises
    ------
    Unsupported
        Then.
    """
    if request.content_type != "application/json":
        raise Unsupported(f"content type {request.content_type!r} is not taken here: send application/json")


def _cookie(request: HttpRequest) -> str | None:
    given: str | None = request.get_signed_cookie(COOKIE, default=None, salt=COOKIE)
    return given


def _answer(user: User, sign_in: SignIn, refresh: str) -> Response:
    issued = jwt.issue(Identity(user.pk, user.username, 0), sign_in.pk)
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
