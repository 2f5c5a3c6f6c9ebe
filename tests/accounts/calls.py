"""Callers of the API, each with a credential of their own."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.test import Client

from server.accounts import jwt, roles, signins
from server.accounts.caller import Caller
from server.accounts.models import AuditEntry
from tests.api_client import Api
from tests.people import PASSWORD, bearer, secret_of

__all__ = ["PASSWORD", "anonymous", "audited", "signed_in", "with_token"]


def anonymous(**headers: str) -> Api:
    """Nobody yet; ``headers`` go with each call."""
    return Api(Client(raise_request_exception=False, headers=headers))


def with_token(user: User, scopes: Sequence[str] = tuple(roles.SCOPES), streams: Sequence[str] | None = None) -> Api:
    """A program with a new token of the user's."""
    return anonymous(**bearer(secret_of(user, scopes, streams)))


def signed_in(user: User) -> Api:
    """The user in person, with an access token."""
    sign_in, _ = signins.begin(user)
    return anonymous(**bearer(jwt.issue(Caller(user.pk, user.username, 0), sign_in.pk)["token"]))


def audited(action: str) -> list[AuditEntry]:
    """The entries of the audit trail for one kind of action, the oldest first."""
    return list(AuditEntry.objects.filter(action=action).order_by("number"))
