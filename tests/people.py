"""Users with a role and their tokens, as tests need them."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from server.accounts import roles, tokens


def person(name: str = "ada", role: str = "researcher", **fields: Any) -> User:
    """A user who has that role (empty: none)."""
    user = User.objects.create_user(name, **fields)
    roles.give(user, role)
    return user


def secret_of(user: User, scopes: Sequence[str] = tuple(roles.SCOPES), streams: Sequence[str] | None = None) -> str:
    """The secret of a new token of theirs."""
    return tokens.create(user, "test", scopes=scopes, streams=streams)[1]


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a token or an access token."""
    return {"Authorization": f"Bearer {secret}"}
