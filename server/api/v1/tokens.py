"""Views of the native API for tokens: create, list, show, rotate and revoke."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import tokens, users
from server.accounts.models import Token
from server.accounts.roles import SCOPES
from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1 import token_checks
from server.api.v1.view import View, operation
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden, NotFound
from server.core.validation import format_value

PAGE = 100
LARGEST_PAGE = 1000
LONGEST_DAYS = 3650
LONGEST_OVERLAP = 24 * 30
NUMBER: dict[str, fields.Field] = {"id": fields.Whole("The token's number", min_value=1, max_value=fields.LARGEST)}
NEXT = fields.Whole("Value of `before` for the next page; null at the end", allow_null=True)


class NewTokenSerializer(RequestSerializer):
    name = fields.Text("What the token is for", max_length=100, min_length=1, pattern=fields.NOT_BLANK)
    scopes = fields.Described(fields.Items(fields.Choice(SCOPES), min_length=1), required=False)
    streams = fields.Items(
        fields.Name(),
        "The streams that the token is limited to, which need not exist yet; null: all streams",
        min_length=1,
        max_length=1000,
        allow_null=True,
        required=False,
    )
    days = fields.Whole(
        "Days until it expires; null: never", min_value=1, max_value=LONGEST_DAYS, allow_null=True, required=False
    )


class RotationSerializer(RequestSerializer):
    overlap_hours = fields.Number(
        "How long the old secret stays valid", min_value=0, max_value=LONGEST_OVERLAP, default=24
    )


class Works(fields.Flag):
    """Whether a token works now."""

    def to_representation(self, token: Token) -> bool:
        ended = token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= datetime.now(UTC))
        return not ended and token.owner.is_active


class TokenSerializer(Serializer):
    id = fields.Whole(min_value=1, source="pk")
    user = fields.Text("The owner; the token acts as this user", source="owner.username")
    name = fields.Text()
    hint = fields.Text("The last characters of the secret")
    scopes = fields.Items(fields.Text())
    streams = fields.Items(fields.Text(), "The streams that it is limited to; null: all streams", allow_null=True)
    works = Works("Neither revoked nor expired, its owner not blocked", source="*")
    created_at, expires_at, revoked_at = fields.Time(), fields.Time(allow_null=True), fields.Time(allow_null=True)
    last_used_at = fields.Time("Updated at most once a minute", allow_null=True)
    replaces = fields.Whole("Number of the token that it replaced", allow_null=True, source="replaces_id")


class TokenWithSecretSerializer(TokenSerializer):
    token = fields.Text("The secret. It is shown only here", pattern="^trc_[0-9a-f]{64}$")


class TokenPageSerializer(Serializer):
    tokens = fields.Items(TokenSerializer())
    next = NEXT


class ListTokensQuery(QuerySerializer):
    user = fields.Text(
        "Show the tokens of this user instead; *: of all users (admins)",
        max_length=fields.LONGEST_IN_QUERY,
        keywords={"minLength": 1},
    )
    before = fields.Whole("Only tokens with a smaller number", min_value=1, max_value=fields.LARGEST)
    limit = fields.Whole("Largest number of tokens in the answer", min_value=1, max_value=LARGEST_PAGE, default=PAGE)


class Tokens(View):
    """The caller's tokens."""

    @operation("listTokens", answers={200: TokenPageSerializer}, query=ListTokensQuery, errors=(404,))
    def get(self, request: Request) -> Response:
        """List your tokens, the newest first.

        The secrets are not shown again. A token needs the scope read or manage for this call. A token that is limited to
        some streams sees only tokens that are limited to these streams.
        """
        asked = request._request
        token_checks.check_scope(asked, "read", "manage")
        before, limit = self.query["before"], self.query["limit"]
        found = _of(asked, self.query["user"])
        if before is not None:
            found = found.filter(pk__lt=before)
        some = list(islice(_visible(asked, found, limit), limit + 1))
        more = some[limit - 1].pk if len(some) > limit else None
        return Response({"tokens": TokenSerializer(some[:limit], many=True).data, "next": more})

    @operation("createToken", NewTokenSerializer, answers={201: TokenWithSecretSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Create a token for a program that acts as you.

        The secret, `token`, is shown only in this answer. Defaults: `scopes` are all but create, `streams` is null (all
        streams), `days` is null (does not expire). A token with the scope manage may create tokens that can do no more than
        itself; their defaults are its own scopes, streams and days.
        """
        asked = request._request
        token_checks.check_scope(asked, "manage")
        given = self.body(request)
        name, days = given.pop("name"), given.get("days")
        owner, own = token_checks.person(asked), token_checks.token(asked)
        if owner is None:
            raise Conflict(
                "this server requires no authentication (TAILRACE_AUTH=open), so a token would have no owner: "
                "`manage.py create_token USER` makes one for a user"
            )
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        if own is not None:
            expires = expires if "days" in given else own.expires_at
            given = {"scopes": own.scopes, "streams": own.streams} | given
        given.pop("days", None)
        with transaction_for_writing():
            token, secret = tokens.create(owner, name, expires, **given)
            if own is not None:
                _check_no_more(token, own)
        return _with_secret(token, secret)


class OneToken(View):
    """One token."""

    path = NUMBER

    @operation("getToken", answers={200: TokenSerializer})
    def get(self, request: Request, id: str) -> Response:
        """Show a token."""
        token_checks.check_scope(request._request, "read", "manage")
        return Response(TokenSerializer(_find(request._request, id)).data)

    @operation("revokeToken", answers={204: None})
    def delete(self, request: Request, id: str) -> Response:
        """Revoke a token.

        The token, and the access tokens that were issued for it, stop working at once. A repeated revocation changes
        nothing.
        """
        token_checks.check_scope(request._request, "manage")
        tokens.revoke(_find(request._request, id))
        return Response(status=204)


class Rotate(View):
    """Rotation of a token."""

    path = NUMBER

    @operation("rotateToken", RotationSerializer, answers={201: TokenWithSecretSerializer}, errors=(409,))
    def post(self, request: Request, id: str) -> Response:
        """Replace one of your tokens by a new one with the same name, scopes, streams and lifetime.

        The old token keeps working for `overlap_hours`, so that jobs that wait in a queue with it can still post. A token
        with the scope manage may rotate itself, and tokens that can do no more than itself.
        """
        asked = request._request
        token_checks.check_scope(asked, "manage")
        overlap = timedelta(hours=self.body(request)["overlap_hours"])
        old, own, who = _find(asked, id), token_checks.token(asked), caller.identity(asked)
        if who is not None and old.owner_id != who.user_id:
            raise Forbidden(
                f"token {old.pk} is {old.owner.username}'s: only its owner can get its new secret; you can revoke it",
                code="not_yours",
            )
        with transaction_for_writing():
            token, secret = tokens.rotate(old, overlap)
            if own is not None and own.pk != old.pk:
                _check_no_more(token, own)
        return _with_secret(token, secret)


def _with_secret(token: Token, secret: str) -> Response:
    headers = {"Location": f"/api/v1/tokens/{token.pk}/", "Cache-Control": "no-store"}
    return Response({**TokenSerializer(token).data, "token": secret}, status=201, headers=headers)


def _of(request: HttpRequest, user: str | None) -> "QuerySet[Token]":
    """Return the tokens of a user that the caller may see: by default the caller's own, ``*`` for all users."""
    found = Token.objects.select_related("owner").order_by("-pk")
    who = caller.identity(request)
    if who is not None and user in (None, who.username):
        return found.filter(owner=who.user_id)
    if not _manages_all(request):
        raise NotFound(f"no user named {format_value(user)}", field="user")
    return found if user in (None, "*") else found.filter(owner=users.find(user))


def _manages_all(request: HttpRequest) -> bool:
    return caller.may(request, "manage_users") and not token_checks.is_limited(request)


def _visible(request: HttpRequest, found: "QuerySet[Token]", limit: int) -> Iterable[Token]:
    """Return the tokens that the caller's token may see: more than ``limit`` if there are that many."""
    only_these = caller.only_streams(request)
    if only_these is None:
        return found[: limit + 1]
    return (token for token in found.iterator(chunk_size=500) if _is_within(token, only_these))


def _find(request: HttpRequest, id: str) -> Token:
    """Return the token with that number, if the caller may see it."""
    missing = NotFound(f"no token has the number {format_value(id)}", field="id")
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
    """Whether a token is limited to these streams, or to some of them."""
    return token.streams is not None and set(token.streams) <= set(streams)


def _check_no_more(made: Token, own: Token) -> None:
    """Check that a new token has no more scopes, streams or time than the token that creates it.

    Raises
    ------
    Forbidden
        If it has. The message names the difference.
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
    return f"token {own.pk} can't create a token that has more rights than itself; its {what}: {limit}. A person who is signed in can"
