"""The four roles, as Django groups with permissions. Each role includes the previous one."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction

from server.accounts.models import Access

ROLES: dict[str, tuple[str, ...]] = {
    "viewer": ("read",),
    "researcher": ("predict", "learn", "create", "create_by_posting", "change_own"),
    "moderator": ("change_any", "retract", "approve", "moderate_users"),
    "admin": ("manage_users", "read_audit", "read_settings", "manage_clusters", "compute"),
}
"""Permissions that each role adds to the previous one."""

SCOPES: dict[str, frozenset[str]] = {
    "learn": frozenset({"learn"}),
    "predict": frozenset({"predict"}),
    "read": frozenset({"read", "read_audit", "read_settings"}),
    "manage": frozenset(
        [
            "create",
            "change_own",
            "change_any",
            "retract",
            "approve",
            "moderate_users",
            "manage_users",
            "manage_clusters",
        ]
    ),
    "create": frozenset({"create_by_posting"}),
}
"""Permissions of a token with each scope, within its owner's role."""

COMPUTE = "compute"
"""Scope of the token of a cluster's agent. Only :mod:`server.calculations.clusters` creates such tokens."""

ALL_SCOPES = SCOPES | {COMPUTE: frozenset({COMPUTE})}

DEFAULT_SCOPES = tuple(scope for scope in SCOPES if scope != "create")
"""Scopes of a token by default. Without ``create``, a mistyped stream name gives an error, not a new stream."""

ALL = frozenset(permission for added in ROLES.values() for permission in added)


def permissions_of_role(role: str) -> tuple[str, ...]:
    """Return all permissions of a role, with those of the roles that it includes."""
    names = list(ROLES)
    return tuple(permission for name in names[: names.index(role) + 1] for permission in ROLES[name])


def role_of(user: User) -> str:
    """Return the highest role of a user; empty for a user without one."""
    if user.is_superuser:
        return "admin"
    names = set(user.groups.values_list("name", flat=True))
    return next((role for role in reversed(ROLES) if role in names), "")


def rank(role: str) -> int:
    """Return 0 for no role, 1 for viewer … 4 for admin."""
    return list(ROLES).index(role) + 1 if role in ROLES else 0


def assign(user: User, role: str) -> None:
    """Replace the roles of a user by ``role`` (empty: none). Their other groups stay."""
    user.groups.remove(*Group.objects.filter(name__in=ROLES).exclude(name=role))
    if role:
        user.groups.add(Group.objects.get(name=role))


def exist() -> bool:
    """Whether the groups of the roles and all permissions exist."""
    own = Permission.objects.filter(content_type__app_label="accounts", codename__in=ALL)
    return own.count() == len(ALL) and Group.objects.filter(name__in=ROLES).count() == len(ROLES)


@transaction.atomic
def make_groups(sender: Any, using: str = "default", **kwargs: Any) -> None:
    """Create the groups after a migration, and add new permissions to them. Permissions get their current names."""
    create_permissions(sender, verbosity=0, using=using)
    own = Permission.objects.using(using).filter(content_type__app_label="accounts", codename__in=ALL)
    permissions = {permission.codename: permission for permission in own}
    for (
        codename,
        name,
    ) in Access._meta.permissions:  # Django creates missing permissions, but doesn't rename existing ones
        if permissions[codename].name != name:
            own.filter(codename=codename).update(name=name)
    for role in ROLES:
        group, _ = Group.objects.using(using).get_or_create(name=role)
        group.permissions.add(*(permissions[name] for name in permissions_of_role(role)))


_PERMISSIONS = """
SELECT p.codename FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id
WHERE c.app_label = 'accounts' AND (
    p.id IN (SELECT permission_id FROM auth_user_user_permissions WHERE user_id = %s)
    OR p.id IN (SELECT gp.permission_id FROM auth_group_permissions gp
                JOIN auth_user_groups ug ON ug.group_id = gp.group_id WHERE ug.user_id = %s))
"""


def permissions_of(user_id: int, *, is_superuser: bool) -> frozenset[str]:
    """Return the permissions of a user, from all their groups and their own."""
    if is_superuser:
        return ALL
    with connection.cursor() as cursor:
        cursor.execute(_PERMISSIONS, (user_id, user_id))
        return frozenset(codename for (codename,) in cursor.fetchall())
