"""Whom an OpenID Connect issuer vouched for, as a user here: found by issuer and subject, with the role of their groups."""

import re
import unicodedata
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpRequest

from server.accounts import roles, sessions, users
from server.accounts.models import ExternalIdentity
from server.streams import changes
from server.streams.errors import Conflict, Forbidden
from server.streams.locks import transaction_for_writing

EVERYBODY = "*"
LONGEST_NAME = 140
"""Leaves room for the number that makes a name unlike others'."""

TRIES = 20
"""Names that are tried before giving up; a sign-in that begins twice at once needs two."""


class NotAdmitted(Forbidden):
    """The issuer vouches for them, and they may not come in."""

    code = "not_admitted"


def admitted(request: HttpRequest, claims: dict[str, Any]) -> User:
    """The user whom the claims are about, made if they are new, with the role that their groups give them now.

    Raises
    ------
    NotAdmitted
        If they are blocked here, or no group of theirs has a role: then they lose the one that they had.
    Conflict
        If the last active admin would lose that role.
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
    sessions.act_as(request, user)
    if not user.is_active:
        changes.tell("login.failed", user.username, after={"by": "OpenID Connect", "why": "blocked"})
        raise NotAdmitted(f"user {user.username} is blocked: ask a moderator of this server", code="blocked")
    if not role:
        _take_role(user)
        raise _no_role()
    users.set_role(user, role)
    return user


def groups_in(claims: dict[str, Any], claim: str) -> frozenset[str]:
    """The groups that a claim names, a list or one string; none if it isn't there or is anything else.

    Dots in the claim's name lead into objects (``realm_access.roles``), unless there is a claim of just that name.
    """
    found: Any = claims
    for name in [claim] if claim in claims else claim.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    names = [found] if isinstance(found, str) else found
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def role_for(groups: frozenset[str], role_by_group: dict[str, str]) -> str:
    """The highest role that any of the groups gives; empty for none."""
    given = [role for group, role in role_by_group.items() if group in groups or group == EVERYBODY]
    return max(given, key=roles.rank, default="")


def free_name(wanted: Any, attempt: int) -> str:
    """A name for a new user, from what the issuer calls them; later attempts have a number, so that they differ."""
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
                sessions.act_as(request, user)
                changes.tell("user.link", user.username, after={"issuer": issuer, "subject": subject})
                return user
        except Conflict:
            continue  # somebody has that name
        except IntegrityError:  # they were made just now, by another sign-in of theirs
            return ExternalIdentity.objects.get(issuer=issuer, subject=subject).user
    raise Conflict(f"no name for a new user could be found: {TRIES} like {wanted!r} are taken")


def _take_role(user: User) -> None:
    with transaction_for_writing():
        before = roles.role_of(user)
        if before:
            roles.give(user, "")
            changes.tell("user.role", user.username, before={"role": before}, after={"role": None})


def _no_role() -> NotAdmitted:
    config = settings.TAILRACE
    return NotAdmitted(
        f"{config.oidc_name} knows you, and none of your groups there has a role here: ask an admin of this server "
        f"(it looks at the claim {config.oidc_groups_claim!r})"
    )
