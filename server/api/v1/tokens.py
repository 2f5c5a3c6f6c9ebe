"""Tokens of the native API: made by their owners, listed, looked at, rotated, revoked."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import tokens, users
from server.accounts.models import Token
from server.api import caller
from server.api.codec import only
from server.api.v1 import credential, query
from server.api.v1.openapi import LONGEST_IN_QUERY, documented, in_query, one_of_path, text, whole
from server.api.v1.view import View
from server.streams.errors import Conflict, Forbidden, Invalid, NotFound
from server.streams.locks import transaction_for_writing
from server.streams.validation import as_whole, shown

PAGE = 100
LARGEST_PAGE = 1000
LONGEST_DAYS = 3650
LONGEST_OVERLAP = 24 * 30
ID = one_of_path("id", "The token's number", whole(1))


class Tokens(View):
    """The caller's tokens."""

    query = ("user", "before", "limit")

    @documented(
        "listTokens",
        "List your tokens, the newest first",
        "Their secrets can't be had again. A token needs the scope read or manage for this, and one that is for some "
        "streams sees those that are for no others.",
        parameters=[
            in_query("user", "That user's instead; * for everybody's (admins)", text(LONGEST_IN_QUERY, 1)),
            in_query("before", "Only tokens with a lesser number", whole(1)),
            in_query(
                "limit", "At most so many", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}
            ),
        ],
        answers={200: "TokenPage"},
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        asked = request._request
        credential.check_scope(asked, "read", "manage")
        before, limit = query.integer(asked, "before", 1), query.integer(asked, "limit", 1, LARGEST_PAGE) or PAGE
        found = _of(asked, query.text(asked, "user"))
        if before is not None:
            found = found.filter(pk__lt=before)
        some = list(islice(_visible(asked, found, limit), limit + 1))
        more = some[limit - 1].pk if len(some) > limit else None
        return Response({"tokens": [described(token) for token in some[:limit]], "next": more})

    @documented(
        "createToken",
        "Make a token that acts as you, for a program",
        "The secret, `token`, is shown this once. `scopes` are all but create, `streams` null (all) and `days` null (for ever) unless "
        "they are given. A token with the scope manage may make others that have no more than itself: what is not given "
        "is then as it has it.",
        body="NewToken",
        answers={201: "TokenWithSecret"},
        errors=(409,),
    )
    def post(self, request: Request) -> Response:
        asked = request._request
        credential.check_scope(asked, "manage")
        payload = self.payload(request)
        only(payload, "name", "scopes", "streams", "days", required=("name",))
        owner, own = credential.person(asked), credential.token(asked)
        if owner is None:
            raise Conflict(
                "nobody is asked who they are here (TAILRACE_AUTH=open), so a token would be nobody's: "
                "`manage.py create_token USER` makes one for a user"
            )
        given: dict[str, Any] = {field: payload[field] for field in ("scopes", "streams") if field in payload}
        if type(given.get("streams")) not in (list, type(None)):
            raise Invalid(f"streams is {shown(given['streams'])}: expected a list of names, or null", field="streams")
        expires = _expiry(payload.get("days"))
        if own is not None:
            given = {"scopes": own.scopes, "streams": own.streams} | given
            expires = expires if "days" in payload else own.expires_at
        with transaction_for_writing():
            token, secret = tokens.create(owner, payload["name"], expires, **given)
            if own is not None:
                _check_no_more(token, own)
        return _with_secret(token, secret)


class OneToken(View):
    """One token."""

    @documented("getToken", "Look at a token", parameters=[ID], answers={200: "Token"}, errors=(404,))
    def get(self, request: Request, id: str) -> Response:
        credential.check_scope(request._request, "read", "manage")
        return Response(described(_find(request._request, id)))

    @documented(
        "revokeToken",
        "Stop a token, and all that was issued for it, from working at once",
        "A repeated revocation changes nothing.",
        parameters=[ID],
        answers={204: None},
        errors=(404,),
    )
    def delete(self, request: Request, id: str) -> Response:
        credential.check_scope(request._request, "manage")
        tokens.revoke(_find(request._request, id))
        return Response(status=204)


class Rotate(View):
    """A new secret for a token."""

    @documented(
        "rotateToken",
        "Replace a token of yours by a new one of the same name, scopes, streams and life",
        "The old one goes on working for `overlap_hours`, so that jobs that wait in a queue with it still post. A token "
        "with the scope manage may rotate itself, and others that have no more than itself.",
        parameters=[ID],
        body="Rotation",
        answers={201: "TokenWithSecret"},
        errors=(404, 409),
    )
    def post(self, request: Request, id: str) -> Response:
        asked = request._request
        credential.check_scope(asked, "manage")
        payload = self.payload(request)
        only(payload, "overlap_hours")
        overlap = _overlap(payload.get("overlap_hours", tokens.OVERLAP.total_seconds() / 3600))
        old, own, who = _find(asked, id), credential.token(asked), caller.identity(asked)
        if who is not None and old.owner_id != who.user_id:
            raise Forbidden(
                f"token {old.pk} is {old.owner.username}'s: only they may have its new secret; you may revoke it",
                code="not_yours",
            )
        with transaction_for_writing():
            token, secret = tokens.rotate(old, overlap)
            if own is not None and own.pk != old.pk:
                _check_no_more(token, own)
        return _with_secret(token, secret)


def described(token: Token) -> dict[str, Any]:
    """A token as the API shows it: all but its secret."""
    ended = token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= datetime.now(UTC))
    return {
        "id": token.pk,
        "user": token.owner.username,
        "name": token.name,
        "hint": token.hint,
        "scopes": token.scopes,
        "streams": token.streams,
        "works": not ended and token.owner.is_active,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
        "replaces": token.replaces_id,
    }


def _with_secret(token: Token, secret: str) -> Response:
    headers = {"Location": f"/api/v1/tokens/{token.pk}/", "Cache-Control": "no-store"}
    return Response({**described(token), "token": secret}, status=201, headers=headers)


def _of(request: HttpRequest, user: str | None) -> "QuerySet[Token]":
    """A user's tokens, if the caller may know of them: their own, unless another name (or ``*``) is given."""
    found = Token.objects.select_related("owner").order_by("-pk")
    who = caller.identity(request)
    if who is not None and user in (None, who.username):
        return found.filter(owner=who.user_id)
    if not _manages_all(request):
        raise NotFound(f"no user named {shown(user)}", field="user")
    return found if user in (None, "*") else found.filter(owner=users.find(user))


def _manages_all(request: HttpRequest) -> bool:
    return caller.may(request, "manage_users") and not credential.is_limited(request)


def _visible(request: HttpRequest, found: "QuerySet[Token]", limit: int) -> Iterable[Token]:
    """Those that the caller's token may know of; somewhat more than ``limit`` at least, if there are as many."""
    only_these = caller.only_streams(request)
    if only_these is None:
        return found[: limit + 1]
    return (token for token in found.iterator(chunk_size=500) if _is_within(token, only_these))


def _find(request: HttpRequest, id: str) -> Token:
    """The token of that number, if the caller may know of it."""
    missing = NotFound(f"no token has the number {shown(id)}", field="id")
    if not (id.isascii() and id.isdigit() and len(id) < 19):
        raise missing
    token = Token.objects.select_related("owner").filter(pk=int(id)).first()
    who, only_these = caller.identity(request), caller.only_streams(request)
    if token is None or (who is not None and token.owner_id != who.user_id and not _manages_all(request)):
        raise missing
    if only_these is not None and not _is_within(token, only_these):
        raise missing
    return token


def _is_within(token: Token, streams: Collection[str]) -> bool:
    """Whether a token is for some of those streams, and for no others."""
    return token.streams is not None and set(token.streams) <= set(streams)


def _expiry(days: Any) -> datetime | None:
    if days is None:
        return None
    days = as_whole(days)
    if type(days) is not int or not 1 <= days <= LONGEST_DAYS:
        raise Invalid(
            f"days is {shown(days)}: expected 1 to {LONGEST_DAYS}, or null for a token without end", field="days"
        )
    return datetime.now(UTC) + timedelta(days=days)


def _overlap(hours: Any) -> timedelta:
    if type(hours) not in (int, float) or not 0 <= hours <= LONGEST_OVERLAP:
        raise Invalid(
            f"overlap_hours is {shown(hours)}: expected a number from 0 to {LONGEST_OVERLAP}", field="overlap_hours"
        )
    return timedelta(hours=hours)


def _check_no_more(made: Token, own: Token) -> None:
    """Refuse a token that could do more, elsewhere or longer than the one that makes it.

    Raises
    ------
    Forbidden
        Naming what would be more.
    """
    more = [scope for scope in made.scopes if scope not in own.scopes]
    if more:
        raise Forbidden(_refusal(own, "scopes", f"{', '.join(own.scopes)}, not {', '.join(more)}"), field="scopes")
    if own.streams is not None and not _is_within(made, own.streams):
        others = "all" if made.streams is None else ", ".join(sorted(set(made.streams) - set(own.streams)))
        raise Forbidden(_refusal(own, "streams", f"{', '.join(own.streams)}, not {others}"), field="streams")
    if own.expires_at is not None and (made.expires_at is None or made.expires_at > own.expires_at):
        raise Forbidden(_refusal(own, "life", f"until {own.expires_at:%Y-%m-%d %H:%M} UTC, not longer"), field="days")


def _refusal(own: Token, what: str, limit: str) -> str:
    return f"token {own.pk} can't make one that has more than itself; its {what}: {limit}. A person who signed in can"
