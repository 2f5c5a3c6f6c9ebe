"""Tokens of the agents of clusters: one cluster's work, and the streams that the cluster may post to, with their models."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.contrib.auth.models import User

from server.accounts import roles, tokens
from server.accounts.models import Token
from server.core.errors import Conflict


def create(owner: User | None, cluster_id: int, name: str, streams: Sequence[str]) -> str:
    """Create the token of a cluster's agent, and return its secret. It belongs to ``owner``; None: to the first admin.

    Raises
    ------
    Conflict
        If there is no admin.
    """
    if owner is None:
        owner = User.objects.filter(is_active=True, groups__name="admin").order_by("pk").first()
        owner = owner or User.objects.filter(is_active=True, is_superuser=True).order_by("pk").first()
    if owner is None:
        raise Conflict(
            "the token of a cluster belongs to an admin, and there is none: `manage.py init` makes one", code="no_admin"
        )
    scopes, only = _reach(streams)
    return tokens.create(owner, f"agent of {name}", cluster_id=cluster_id, scopes=scopes, streams=only)[1]


def rotate(owner: User | None, cluster_id: int, name: str, streams: Sequence[str]) -> str:
    """Create another token, and return its secret. The former ones end in 24 hours. Raises as :func:`create`."""
    former = Token.objects.filter(cluster_id=cluster_id, revoked_at=None, expires_at=None)
    former.update(expires_at=datetime.now(UTC) + tokens.OVERLAP)
    return create(owner, cluster_id, name, streams)


def change_reach(cluster_id: int, streams: Sequence[str]) -> None:
    """Let the tokens of a cluster learn into these streams and ask their models, and no others."""
    scopes, only = _reach(streams)
    Token.objects.filter(cluster_id=cluster_id).update(scopes=scopes, streams=only)


def revoke(cluster_id: int) -> None:
    """Revoke all tokens of a cluster."""
    for token in Token.objects.filter(cluster_id=cluster_id, revoked_at=None):
        tokens.revoke(token)


def _reach(streams: Sequence[str]) -> tuple[list[str], list[str] | None]:
    wanted = [roles.COMPUTE, "learn", "predict"] if streams else [roles.COMPUTE]
    return [scope for scope in roles.ALL_SCOPES if scope in wanted], list(streams) or None
