"""Authentication of the riverapi protocol: exchange a token for an access token."""

from django.http import HttpRequest, HttpResponse

from server.accounts import jwt, last_used, limits
from server.api.auth import identify_basic, refusal
from server.api.codec import answer
from server.api.riverapi.request import methods


def grant(request: HttpRequest) -> HttpResponse:
    """GET /api/auth/token/ with Basic ``user:token``.

    Returns an access token, its lifetime in seconds and its time of issue.
    """
    identity = identify_basic(request)
    if identity is None:
        raise refusal(request)
    limits.count_caller(identity)
    last_used.mark(identity)
    response = answer(jwt.issue(identity))
    response["Cache-Control"] = "no-store"
    return response


token = methods(get=grant)
