"""Sign-in by OpenID Connect: the redirect to the issuer and the callback."""

import logging
from typing import Any

from django.contrib import auth
from django.http import HttpRequest, HttpResponse
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView

from server.accounts import oidc
from server.core.errors import Conflict, NotFound, TailraceError
from server.dashboard.rendering import is_open, onward, page, to

logger = logging.getLogger(__name__)

PATIENCE = 900
"""Seconds within which a person has to sign in at the issuer."""

_STATES, _NEXT = "oidc_states", "oidc_login_next"
_begin = oidc.Begin.as_view()


def begin(request: HttpRequest) -> HttpResponse:
    """GET: redirect to the issuer."""
    _check_configured()
    wanted = onward(request.GET.get("next", ""))
    try:
        response = _begin(request)
    except TailraceError as exc:
        return _refused(request, exc, wanted)
    request.session[_NEXT] = wanted
    if not request.user.is_authenticated:
        request.session.set_expiry(PATIENCE)
    return response


class Callback(OIDCAuthenticationCallbackView):
    """GET: the browser returns from the issuer, with a code or an error."""

    get_settings = staticmethod(oidc.setting)

    def get(self, request: HttpRequest) -> HttpResponse:
        _check_configured()
        state = request.GET.get("state", "")
        if state not in request.session.get(_STATES, {}):
            return _refused(
                request,
                oidc.NotVouchedFor(
                    "this sign-in was started in another browser or too long ago, or was already used: start again"
                ),
            )
        if "code" not in request.GET or "error" in request.GET:
            del request.session[_STATES][state]
            request.session.modified = True
            logger.info("the OpenID Connect issuer answered with the error %r", request.GET.get("error", "")[:100])
            return _refused(request, oidc.NotVouchedFor("you were not signed in there: start again to sign in"))
        try:
            return super().get(request)
        except TailraceError as exc:
            return _refused(request, exc)

    def login_success(self) -> HttpResponse:
        request: HttpRequest = self.request
        wanted = request.session.pop(_NEXT, "")
        request.session.pop(_STATES, None)
        request.session.set_expiry(None)
        auth.login(request, self.user)
        return to(onward(wanted))

    def login_failure(self) -> HttpResponse:
        return _refused(self.request, oidc.NotVouchedFor("the issuer returned no user: start again"))


def _check_configured() -> None:
    if is_open():
        raise Conflict("this server is open (TAILRACE_AUTH=open): there is no need to sign in")
    if not oidc.is_configured():
        raise NotFound("OpenID Connect is not configured: TAILRACE_OIDC_ISSUER is not set")


def _refused(request: HttpRequest, error: TailraceError, wanted: str = "") -> HttpResponse:
    wanted = wanted or request.session.get(_NEXT, "")
    response = page(request, "oidc_refused", error.status, message=error.message, next=wanted)
    retry_after: Any = getattr(error, "retry_after", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response
