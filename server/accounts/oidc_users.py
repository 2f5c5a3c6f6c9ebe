"""Users who sign in by OpenID Connect: found by issuer and subject, with the role of their groups."""

import re
import unicodedata
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpRequest

from server.accounts import roles, sessions, users
from server.accounts.models import ExternalIdentity
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden

EVERYBODY = "*"
LONGEST_NAME = 140
"""Leaves room for a number that makes the name unique."""

TRIES = 20
"""Number of names that are tried. Two sign-ins of a new user at the same time need two."""


class NotAdmitted(Forbidden):
    """The issuer authenticated the person, but they have no access here."""

    code = "not_admitted"


def admit(request: HttpRequest, claims: dict[str, Any]) -> User:
    """Return the user of the claims, with the role of their current groups. A new user is created.

    Raises
    ------
    NotAdmitted
        If the user is blocked, or if none of their groups has a role. In that case they lose their role.
    Conflict
        If the last active admin would lose their role.
    """
    config = settings.TAILRACE
    role = role_for(groups_in(claims, config.oidc_groups_claim), config.role_by_group)
    subject = str(claims["sub"])
    known = ExternalIdentity.objects.select_related("user").filter(issuer=config.oidc_issuer, subject=subject).first()
    if known is None:
        if not role:
            raise _no_role()
        return _made(request, config.oidc_issuer, subject, role, claims)
    user = known.user
    sessions.set_caller(request, user)
    if not user.is_active:
        audit_signals.send("login.failed", user.username, after={"by": "OpenID Connect", "why": "blocked"})
        raise NotAdmitted(f"user {user.username} is blocked: ask a moderator of this server", code="blocked")
    if not role:
        _take_role(user)
        raise _no_role()
    users.set_role(user, role)
    return user


def groups_in(claims: dict[str, Any], claim: str) -> frozenset[str]:
    """Return the groups in a claim, which is a list or a string; none if it is missing or anything else.

    Dots in the claim's name lead into objects (``realm_access.roles``), unless there is a claim with exactly that name.
    """
    found: Any = claims
    for name in [claim] if claim in claims else claim.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    names = [found] if isinstance(found, str) else found
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def role_for(groups: frozenset[str], role_by_group: dict[str, str]) -> str:
    """Return the highest role of the groups; empty for none."""
    given = [role for group, role in role_by_group.items() if group in groups or group == EVERYBODY]
    return max(given, key=roles.rank, default="")


def free_name(wanted: Any, attempt: int) -> str:
    """Return a name for a new user, based on their name at the issuer. Later attempts append a number."""
    letters = unicodedata.normalize("NFKD", str(wanted or "")).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", letters).strip(".@+-")[:LONGEST_NAME] or "user"
    return name if attempt == 1 else f"{name}-{attempt}"


def _made(request: HttpRequest, issuer: str, subject: str, role: str, claims: dict[str, Any]) -> User:
    wanted = claims.get("preferred_username") or claims.get("nickname") or claims.get("name")
    for attempt in range(1, TRIES + 1):
        try:
            with transaction_for_writing():
                user = users.create(free_name(wanted, attempt), role)
                ExternalIdentity.objects.create(user=user, issuer=issuer, subject=subject)
                sessions.set_caller(request, user)
                audit_signals.send("user.link", user.username, after={"issuer": issuer, "subject": subject})
                return user
        except Conflict:
            continue  # the name is taken
        except IntegrityError:  # another sign-in of the same person has just created them
            return ExternalIdentity.objects.get(issuer=issuer, subject=subject).user
    raise Conflict(f"no free name for a new user: {TRIES} names like {wanted!r} are taken")


def _take_role(user: User) -> None:
    with transaction_for_writing():
        before = roles.role_of(user)
        if before:
            roles.assign(user, "")
            audit_signals.send("user.role", user.username, before={"role": before}, after={"role": None})


def _no_role() -> NotAdmitted:
    config = settings.TAILRACE
    return NotAdmitted(
        f"{config.oidc_name} authenticated you, but none of your groups there has a role here: ask an admin of this server "
        f"(the groups are read from the claim {config.oidc_groups_claim!r})"
    )
