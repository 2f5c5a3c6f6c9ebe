"""Checks of the caller's token, for the views of accounts.

A token can do no more than its scopes and streams allow, whatever role its owner has.
"""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request

from server.accounts.models import Token
from server.api import caller
from server.api.v1.view import View
from server.core.errors import Forbidden


def person(request: HttpRequest) -> User | None:
    """Return the user whom the caller acts as; None if the server is open."""
    who = caller.identity(request)
    return None if who is None else User.objects.get(pk=who.user_id)


def token(request: HttpRequest) -> Token | None:
    """Return the caller's token, or the token that their access token was issued for; None for a person who signed in."""
    who = caller.identity(request)
    return None if who is None or not who.token_id else Token.objects.select_related("owner").get(pk=who.token_id)


def check_scope(request: HttpRequest, *scopes: str) -> None:
    """Check that the token has one of ``scopes``. A person who signed in needs none.

    Raises
    ------
    Forbidden
        If it has none.
    """
    own = token(request)
    if own is not None and not set(scopes) & set(own.scopes):
        raise Forbidden(
            f"token {own.pk} has the scopes {', '.join(own.scopes)}: this request needs a token with the scope "
            f"{' or '.join(scopes)}, or a person who is signed in",
            code="scope",
        )


def check_is_person(request: HttpRequest, what: str) -> None:
    """Check that the caller is a person who signed in.

    Raises
    ------
    Forbidden
        If the caller used a token. ``what`` is the beginning of the message.
    """
    who = caller.identity(request)
    if who is not None and who.token_id:
        raise Forbidden(f"{what} needs a person who is signed in (POST /api/v1/signin/), not a token", code="person")


def is_limited(request: HttpRequest) -> bool:
    """Whether the caller's token is limited to some streams."""
    return caller.only_streams(request) is not None


class ServerWide(View):
    """Base of views that concern the whole server. Tokens that are limited to some streams are refused."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if is_limited(request._request):
            raise Forbidden(
                "this token is limited to some streams, and this request concerns the whole server", code="streams"
            )
