"""The credential that a call comes with, as the addresses of accounts ask for it.

A token can do no more here than its scopes and streams say, whatever role its owner has.
"""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request

from server.accounts.models import Token
from server.api import caller
from server.api.v1.view import View
from server.streams.errors import Forbidden


def person(request: HttpRequest) -> User | None:
    """The user whom the caller acts as; None where nobody is asked."""
    who = caller.identity(request)
    return None if who is None else User.objects.get(pk=who.user_id)


def token(request: HttpRequest) -> Token | None:
    """The token that was shown, or that the access token shown was issued for; None for a person who signed in."""
    who = caller.identity(request)
    return None if who is None or not who.token_id else Token.objects.select_related("owner").get(pk=who.token_id)


def check_scope(request: HttpRequest, *scopes: str) -> None:
    """Refuse a token that has none of ``scopes``. A person who signed in needs none.

    Raises
    ------
    Forbidden
        Then.
    """
    own = token(request)
    if own is not None and not set(scopes) & set(own.scopes):
        raise Forbidden(
            f"token {own.pk} has the scopes {', '.join(own.scopes)}: this takes a token with the scope "
            f"{' or '.join(scopes)}, or a person who signed in",
            code="scope",
        )


def check_is_person(request: HttpRequest, what: str) -> None:
    """Refuse a token, whatever its scopes.

    Raises
    ------
    Forbidden
        Then, saying ``what`` takes a person.
    """
    who = caller.identity(request)
    if who is not None and who.token_id:
        raise Forbidden(f"{what} takes a person who signed in (POST /api/v1/signin/), not a token", code="person")


def is_limited(request: HttpRequest) -> bool:
    """Whether the caller's token is for some streams only."""
    return caller.only_streams(request) is not None


class ServerWide(View):
    """What concerns the whole server, out of reach for tokens that are for some streams only."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if is_limited(request._request):
            raise Forbidden("this token is for some streams only, and this is about the whole server", code="streams")
