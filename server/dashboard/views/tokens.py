"""The page of a person's tokens: list, create, rotate, revoke. A secret is shown in one response only."""

import secrets
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from server.accounts import roles, tokens
from server.accounts.models import Token
from server.core.errors import Conflict, Invalid, NotFound, TailraceError
from server.dashboard import permissions
from server.dashboard.rendering import page, person, refused, to, visitor

HERE = "/account/tokens/"
DAYS = {"1": "1 day", "7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year", "": "never"}
DEFAULT_DAYS = "90"
HOURS = {"0": "at once", "1": "in 1 hour", "24": "in 24 hours", "168": "in 7 days"}
DEFAULT_HOURS = "24"
MOST_ENDED = 20
"""Number of invalid tokens that the page shows, latest first."""

_SENT = "sent_forms"
_MOST_SENT = 50


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the person's tokens. POST: create one, and show its secret once."""
    if request.method != "POST":
        return page(
            request, "tokens", **_shown(request), given={"days": DEFAULT_DAYS}, chosen=("learn", "predict", "read")
        )
    user = person(request)
    chosen = request.POST.getlist("scopes")
    try:
        _check_is_new(request)
        names = request.POST.get("streams", "").replace(",", " ").split()
        token, secret = tokens.create(
            user,
            request.POST.get("name", "").strip(),
            _expiry(request.POST.get("days", "")),
            scopes=chosen,
            streams=names or None,
        )
    except TailraceError as exc:
        return refused(request, "tokens", exc, **_shown(request), chosen=chosen)
    return with_secret(request, token, secret)


def rotate(request: HttpRequest, number: int) -> HttpResponse:
    """POST: replace a token by a new one, and show its secret once."""
    token = _own(request, number)
    hours = request.POST.get("hours", DEFAULT_HOURS)
    if hours not in HOURS:
        raise Invalid(f"hours is {hours!r}: expected one of {', '.join(HOURS)}", field="hours")
    made, secret = tokens.rotate(token, timedelta(hours=int(hours)))
    token.refresh_from_db(fields=["expires_at"])
    return with_secret(request, made, secret, replaced=token)


def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """POST: revoke a token."""
    token = _own(request, number)
    tokens.revoke(token)
    messages.success(request, f"The token “{token.name}” (…{token.hint}) is revoked.")
    return to(HERE)


def working(tokens_of: "QuerySet[Token]") -> "QuerySet[Token]":
    """Return the tokens that are neither revoked nor expired, newest first."""
    lasts = Q(expires_at=None) | Q(expires_at__gt=datetime.now(UTC))
    return tokens_of.filter(lasts, revoked_at=None).order_by("-pk")


def with_secret(request: HttpRequest, token: Token, secret: str, replaced: Token | None = None) -> HttpResponse:
    """Render the page with the secret. It is the only one that shows it, and it isn't cached."""
    url = f"{request.scheme}://{request.get_host()}"
    return page(
        request,
        "secret",
        status=201,
        token=token,
        secret=secret,
        replaced=replaced,
        environment="\n".join(
            f"export {name}={shlex.quote(value)}"
            for name, value in {
                "RIVER_ML_USER": token.owner.username,
                "RIVER_ML_TOKEN": secret,
                "TAILRACE_URL": url,
                "TAILRACE_TOKEN": secret,
            }.items()
        ),
        curl=_curl(token),
    )


def _curl(token: Token) -> str:
    """Return an example call that the token allows."""
    call = 'curl -H "Authorization: Bearer $TAILRACE_TOKEN" "$TAILRACE_URL/api/v1/{}"'
    if "learn" in token.scopes:
        stream = token.streams[0] if token.streams else "STREAM"
        return call.format(f"streams/{stream}/observations/") + """ \\\n  --json '{"x": {"atoms": 2048}, "y": 12.5}'"""
    if "predict" in token.scopes:
        return call.format("models/MODEL/predict/") + """ \\\n  --json '{"x": {"atoms": 2048}}'"""
    return call.format("me/")


def _own(request: HttpRequest, number: int) -> Token:
    """Return one of the person's tokens.

    Raises
    ------
    NotFound
        If there is none with that number, or it belongs to another user.
    """
    token = Token.objects.select_related("owner").filter(pk=number, owner=person(request)).first()
    if token is None:
        raise NotFound(f"you have no token with the number {number}")
    return token


def _shown(request: HttpRequest) -> dict[str, Any]:
    user = visitor(request)
    if user is None:
        return {}
    own = Token.objects.filter(owner=user)
    held = working(own)
    ended = own.exclude(pk__in=held).order_by(F("revoked_at").desc(nulls_last=True), "-pk")[:MOST_ENDED]
    return {
        "tokens": held,
        "ended": ended,
        "role": roles.role_of(user),
        "scopes": permissions.SCOPES,
        "days": DAYS,
        "hours": HOURS,
        "default_hours": DEFAULT_HOURS,
        "form": secrets.token_hex(8),
    }


def _expiry(days: str) -> datetime | None:
    if days not in DAYS:
        raise Invalid(f"days is {days!r}: expected one of {', '.join(filter(None, DAYS))}, or empty", field="days")
    return datetime.now(UTC) + timedelta(days=int(days)) if days else None


def _check_is_new(request: HttpRequest) -> None:
    """Refuse a form that this browser has already sent, because reloading the page would create another token."""
    form = request.POST.get("form", "")
    sent = request.session.get(_SENT, [])
    if form and form in sent:
        raise Conflict("this token already exists, and its secret can't be shown again: rotate it, or create another")
    request.session[_SENT] = [*sent[1 - _MOST_SENT :], form[:16]]
