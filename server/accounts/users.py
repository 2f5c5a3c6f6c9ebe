"""Users: creation, roles, blocking, passwords. Users are never deleted.

Each change is one transaction with its entry in the audit trail. ``by`` is the user who makes the change; their rank is
checked in that transaction. It is None on the command line and with ``AUTH=open``, where everything is allowed.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import IntegrityError
from django.db.models import Q, QuerySet

from server.accounts import lockout, passwords, roles, signins
from server.accounts.models import SignIn
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden, Invalid, Unauthenticated
from server.core.validation import format_value
from server.streams.quotas import quota_usage

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,149}\Z")
ADMIN = "admin"


def find(name: Any) -> User:
    """Return the user with that name.

    Raises
    ------
    NotFound
        If there is none.
    """
    return find_by_name(User.objects.all(), name, "no user named {name}", field="user", column="username")


def create(name: Any, role: Any = "viewer", password: Any = None) -> User:
    """Create a user.

    Parameters
    ----------
    name
        1 to 150 letters, digits, ``.``, ``@``, ``+``, ``-``, ``_``. It must differ from other names in more than case.
    role
        One of :data:`server.accounts.roles.ROLES`.
    password
        None for a user without a password: a program, or a person who signs in by OpenID Connect.

    Raises
    ------
    Invalid, Conflict
        If a value is invalid or the name is taken. The message names it.
    """
    if not isinstance(name, str) or not NAME.match(name):
        raise Invalid(
            f"{format_value(name)} is not a valid name of a user: expected 1 to 150 letters, digits, '.', '@', '+', '-' or '_', "
            "starting with a letter, a digit or '_'",
            field="user",
        )
    _check_role(role)
    user = User(username=name)
    if password is not None:
        passwords.check_new(password, user)
    user.set_password(password)
    taken = Conflict(f"the user name {format_value(name)} is taken (case is ignored)", field="user", code="exists")
    try:
        with transaction_for_writing():
            if User.objects.filter(username__iexact=name).exists():
                raise taken
            user.save(force_insert=True)
            roles.assign(user, role)
            audit_signals.send("user.create", name, after={"role": role, "has_password": password is not None})
    except IntegrityError:  # another request has just created them
        raise taken from None
    return user


def set_role(user: User, role: Any) -> None:
    """Replace the user's role, from the next request on.

    Raises
    ------
    Invalid
        If there is no such role.
    Conflict
        If the last active admin would lose their role.
    """
    _check_role(role)
    with transaction_for_writing():
        _lock(user)
        before = roles.role_of(user)
        if before == role:
            return
        if before == ADMIN:
            _check_other_admin(user)
            User.objects.filter(pk=user.pk).update(is_superuser=False, is_staff=False)
            user.is_superuser = user.is_staff = False
        roles.assign(user, role)
        audit_signals.send("user.role", user.username, before={"role": before}, after={"role": role})


def block(user: User, by: User | None = None) -> None:
    """Block a user: their tokens, access tokens, sign-ins and sessions stop working at once.

    Tokens work again when the user is unblocked. People then have to sign in again.

    Raises
    ------
    Forbidden
        If the user is ``by``, or doesn't have a role below theirs.
    Conflict
        If the user is the last active admin.
    """
    with transaction_for_writing():
        _lock(user, by)
        _check_below(user, by)
        if not user.is_active:
            return
        if roles.role_of(user) == ADMIN:
            _check_other_admin(user)
        _set_active(user, True, False)
        _end_sign_ins(user, "the user was blocked")
        audit_signals.send("user.block", user.username, before={"active": True}, after={"active": False})


def unblock(user: User, by: User | None = None) -> None:
    """Unblock a user.

    Raises
    ------
    Forbidden
        If the user doesn't have a role below ``by``.
    """
    with transaction_for_writing():
        _lock(user, by)
        _check_below(user, by)
        if user.is_active:
            return
        _set_active(user, False, True)
        audit_signals.send("user.unblock", user.username, before={"active": False}, after={"active": True})


def reset_password(user: User, by: User | None = None) -> str:
    """Set a new random password, and end the user's sign-ins, sessions and lockouts. Return the password.

    Raises
    ------
    Forbidden
        If the user is ``by``, or doesn't have a role below theirs.
    """
    password = passwords.generate()
    user.set_password(password)  # slow on purpose, so before the transaction
    with transaction_for_writing():
        _lock(user, by)
        _check_below(user, by)
        lockout.reset_failures(user.username)
        _store_password(user, "reset")
    return password


def change_password(user: User, new: Any, field: str = "new") -> None:
    """Set the password that the user chose, and end their sign-ins and sessions.

    Raises
    ------
    Invalid
        If it breaks a rule. The message says which.
    """
    passwords.check_new(new, user, field)
    user.set_password(new)
    with transaction_for_writing():
        _lock(user)
        _store_password(user, "changed")


def end_sign_ins(user: User, why: str) -> None:
    """End all sign-ins of a user, with their access tokens and browser sessions."""
    with transaction_for_writing():
        _lock(user)
        _end_sign_ins(user, why)


def working_sign_ins(user: User) -> "QuerySet[SignIn]":
    """Return the user's sign-ins that haven't ended, newest first."""
    return SignIn.objects.filter(user=user, revoked_at=None, expires_at__gt=datetime.now(UTC)).order_by("-pk")


def begin_sign_in(user: User, *, address: str, agent: str) -> tuple[SignIn, str]:
    """Sign in a user whose password has just been verified.

    Raises
    ------
    Unauthenticated
        If the password was changed or the user was blocked in the meantime.
    """
    with transaction_for_writing():
        now = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not now.is_active or now.password != user.password:
            raise Unauthenticated("the password has just been changed, or the user blocked", code="wrong_password")
        return signins.begin(user, address=address, agent=agent)


def details(users: Iterable[User]) -> list[dict[str, Any]]:
    """Return users as the API and the pages show them, in three queries."""
    users = list(users)
    chosen = {"user__in": users} if len(users) == 1 else {}
    names: dict[int, set[str]] = defaultdict(set)
    for user_id, name in Group.objects.filter(name__in=roles.ROLES, **chosen).values_list("user", "name"):
        names[user_id].add(name)
    uses = quota_usage.uses([user.pk for user in users])
    return [
        {
            "user": user.username,
            "role": ADMIN if user.is_superuser else max(names[user.pk], key=roles.rank, default=None),
            "active": user.is_active,
            "has_password": user.has_usable_password(),
            "created_at": user.date_joined,
            "last_sign_in": user.last_login,
            "quotas": [use.described() for use in uses[user.pk]],
        }
        for user in users
    ]


def _check_role(role: Any) -> None:
    if not isinstance(role, str) or role not in roles.ROLES:
        raise Invalid(f"role is {format_value(role)}: expected one of {', '.join(roles.ROLES)}", field="role")


def _lock(user: User, by: User | None = None) -> None:
    """Lock the users and refresh them. One lock covers all admins, so that two admins can't block each other at once."""
    Group.objects.select_for_update(no_key=True).get(name=ADMIN)
    wanted = {user.pk} | ({by.pk} if by is not None else set())
    held = {
        found.pk: found for found in User.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    }
    for one in (user, by):
        if one is not None:
            one.is_active, one.is_superuser = held[one.pk].is_active, held[one.pk].is_superuser


def _check_below(user: User, by: User | None) -> None:
    if by is None:
        return
    if by.pk == user.pk:
        raise Forbidden("you can't do this to yourself: ask another moderator or admin", code="oneself")
    own, theirs = roles.role_of(by), roles.role_of(user)
    if not by.is_active or (own != ADMIN and roles.rank(theirs) >= roles.rank(own)):
        raise Forbidden(
            f"user {user.username} is {theirs or 'without a role'}: {by.username} ({own or 'without a role'}) may do this "
            "only to users with a role below their own",
            code="rank",
        )


def _check_other_admin(user: User) -> None:
    others = User.objects.filter(Q(is_superuser=True) | Q(groups__name=ADMIN), is_active=True).exclude(pk=user.pk)
    if not others.exists():
        raise Conflict(
            f"user {user.username} is the last active admin: give another user this role first", code="last_admin"
        )


def _set_active(user: User, before: bool, after: bool) -> None:
    User.objects.filter(pk=user.pk, is_active=before).update(is_active=after)
    user.is_active = after


def _store_password(user: User, how: str) -> None:
    User.objects.filter(pk=user.pk).update(password=user.password)
    _end_sign_ins(user, f"the password was {how}")
    audit_signals.send("user.password", user.username, after={"password": how})


def _end_sign_ins(user: User, why: str) -> None:
    """End all sign-ins, also those of browser sessions (:mod:`server.accounts.sessions`)."""
    for sign_in in list(SignIn.objects.select_for_update().filter(user=user, revoked_at=None).order_by("pk")):
        signins.end(sign_in, why)
