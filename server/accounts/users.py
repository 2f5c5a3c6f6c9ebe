"""People and programs that may come in: made, given a role, blocked, given a password. They are never deleted.

Each change is one transaction with its entry in the audit trail. ``by`` is the user who makes it, whose rank is looked at
inside that transaction; None for who answers to nobody (the command line, and everybody where ``AUTH=open``).
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
from server.streams import changes, quota_usage
from server.streams.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from server.streams.locks import transaction_for_writing
from server.streams.validation import shown

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,149}\Z")
ADMIN = "admin"


def find(name: Any) -> User:
    """The user of that name.

    Raises
    ------
    NotFound
        If there is none.
    """
    user = User.objects.filter(username=name).first() if isinstance(name, str) and "\x00" not in name else None
    if user is None:
        raise NotFound(f"no user named {shown(name)}", field="user")
    return user


def create(name: Any, role: Any = "viewer", password: Any = None) -> User:
    """Make a user.

    Parameters
    ----------
    name
        1 to 150 letters, digits, ``.``, ``@``, ``+``, ``-``, ``_``; unlike any other user's in more than its case.
    role
        One of :data:`server.accounts.roles.ROLES`.
    password
        None for somebody who has none: a program, or a person whom an issuer vouches for.

    Raises
    ------
    Invalid, Conflict
        If one of these can't be, naming it.
    """
    if not isinstance(name, str) or not NAME.match(name):
        raise Invalid(
            f"{shown(name)} can't name a user: expected 1 to 150 letters, digits, '.', '@', '+', '-' or '_', "
            "the first a letter, a digit or '_'",
            field="user",
        )
    _check_role(role)
    user = User(username=name)
    if password is not None:
        passwords.check_new(password, user)
    user.set_password(password)
    taken = Conflict(f"there is a user of the name {shown(name)}, by its letters", field="user", code="exists")
    try:
        with transaction_for_writing():
            if User.objects.filter(username__iexact=name).exists():
                raise taken
            user.save(force_insert=True)
            roles.give(user, role)
            changes.tell("user.create", name, after={"role": role, "has_password": password is not None})
    except IntegrityError:  # another request was first
        raise taken from None
    return user


def set_role(user: User, role: Any) -> None:
    """Make ``role`` the user's one role, from the next request on.

    Raises
    ------
    Invalid
        If there is no such role.
    Conflict
        If the last active admin would lose theirs.
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
        roles.give(user, role)
        changes.tell("user.role", user.username, before={"role": before}, after={"role": role})


def block(user: User, by: User | None = None) -> None:
    """Keep a user out: their tokens, access tokens, sign-ins and sessions stop working at once.

    Tokens work again once the user is unblocked; people have to sign in again.

    Raises
    ------
    Forbidden
        If it is ``by`` themselves, or not of a role below theirs.
    Conflict
        If it is the last active admin.
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
        changes.tell("user.block", user.username, before={"active": True}, after={"active": False})


def unblock(user: User, by: User | None = None) -> None:
    """Let a user in again.

    Raises
    ------
    Forbidden
        If they aren't of a role below ``by``.
    """
    with transaction_for_writing():
        _lock(user, by)
        _check_below(user, by)
        if user.is_active:
            return
        _set_active(user, False, True)
        changes.tell("user.unblock", user.username, before={"active": False}, after={"active": True})


def reset_password(user: User, by: User | None = None) -> str:
    """Give a user a new random password, which can't be had again, and end their sign-ins, sessions and lock-outs.

    Raises
    ------
    Forbidden
        If it is ``by`` themselves, or not of a role below theirs.
    """
    password = passwords.random()
    user.set_password(password)  # slow on purpose: before the transaction, not in it
    with transaction_for_writing():
        _lock(user, by)
        _check_below(user, by)
        lockout.forgive(user.username)
        _store_password(user, "reset")
    return password


def change_password(user: User, new: Any, field: str = "new") -> None:
    """Give a user the password that they chose, and end their sign-ins and sessions.

    Raises
    ------
    Invalid
        If it breaks a rule, saying which.
    """
    passwords.check_new(new, user, field)
    user.set_password(new)
    with transaction_for_writing():
        _lock(user)
        _store_password(user, "changed")


def end_sign_ins(user: User, why: str) -> None:
    """Sign a user out everywhere: sign-ins, their access tokens, and sessions of pages."""
    with transaction_for_writing():
        _lock(user)
        _end_sign_ins(user, why)


def working_sign_ins(user: User) -> "QuerySet[SignIn]":
    """The user's sign-ins that haven't ended, the newest first."""
    return SignIn.objects.filter(user=user, revoked_at=None, expires_at__gt=datetime.now(UTC)).order_by("-pk")


def begin_sign_in(user: User, *, address: str, agent: str) -> tuple[SignIn, str]:
    """Sign in a user whose password was just verified, unless it was changed or they were blocked meanwhile.

    Raises
    ------
    Unauthenticated
        Then.
    """
    with transaction_for_writing():
        now = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not now.is_active or now.password != user.password:
            raise Unauthenticated("the password was changed, or the user blocked, just now", code="wrong_password")
        return signins.begin(user, address=address, agent=agent)


def told(users: Iterable[User]) -> list[dict[str, Any]]:
    """Users as the API and the pages show them, in three queries however many there are."""
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
        raise Invalid(f"role is {shown(role)}: expected one of {', '.join(roles.ROLES)}", field="role")


def _lock(user: User, by: User | None = None) -> None:
    """Wait for who else changes an admin or this user, and see them as they are then.

    One lock for all admins: two who block each other at once must not both succeed.
    """
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
        raise Forbidden("nobody does this to themselves: ask another moderator or admin", code="oneself")
    own, theirs = roles.role_of(by), roles.role_of(user)
    if not by.is_active or (own != ADMIN and roles.rank(theirs) >= roles.rank(own)):
        raise Forbidden(
            f"user {user.username} is {theirs or 'without a role'}: {by.username}, {own or 'without a role'}, may do this "
            "to users of roles below their own",
            code="rank",
        )


def _check_other_admin(user: User) -> None:
    others = User.objects.filter(Q(is_superuser=True) | Q(groups__name=ADMIN), is_active=True).exclude(pk=user.pk)
    if not others.exists():
        raise Conflict(f"user {user.username} is the last active admin: make another one first", code="last_admin")


def _set_active(user: User, before: bool, after: bool) -> None:
    User.objects.filter(pk=user.pk, is_active=before).update(is_active=after)
    user.is_active = after


def _store_password(user: User, how: str) -> None:
    User.objects.filter(pk=user.pk).update(password=user.password)
    _end_sign_ins(user, f"the password was {how}")
    changes.tell("user.password", user.username, after={"password": how})


def _end_sign_ins(user: User, why: str) -> None:
    """Those of pages too: each session is a sign-in (:mod:`server.accounts.sessions`)."""
    for sign_in in list(SignIn.objects.select_for_update().filter(user=user, revoked_at=None).order_by("pk")):
        signins.end(sign_in, why)
