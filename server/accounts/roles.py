"""The four roles, as Django groups with permissions, each including the one before."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction

ROLES: dict[str, tuple[str, ...]] = {
    "viewer": ("read",),
    "researcher": ("predict", "learn", "create", "create_by_posting", "change_own"),
    "moderator": ("change_any", "retract", "moderate_users"),
    "admin": ("manage_users", "read_audit", "read_settings"),
}
"""What each role adds to the one before it."""

SCOPES: dict[str, frozenset[str]] = {
    "learn": frozenset({"learn"}),
    "predict": frozenset({"predict"}),
    "read": frozenset({"read", "read_audit", "read_settings"}),
    "manage": frozenset({"create", "change_own", "change_any", "retract", "moderate_users", "manage_users"}),
    "create": frozenset({"create_by_posting"}),
}
"""What a token of each scope may do, where its owner's role allows it."""

USUAL_SCOPES = tuple(scope for scope in SCOPES if scope != "create")
"""Those of a token of which nothing else is said: a stream that a typing error makes is one that no model learns from."""

ALL = frozenset(permission for added in ROLES.values() for permission in added)


def permissions_of_role(role: str) -> tuple[str, ...]:
    """Everything that a role allows, with what the roles before it allow."""
    names = list(ROLES)
    return tuple(permission for name in names[: names.index(role) + 1] for permission in ROLES[name])


def role_of(user: User) -> str:
    """The highest role of a user; empty for a user without one."""
    if user.is_superuser:
        return "admin"
    names = set(user.groups.values_list("name", flat=True))
    return next((role for role in reversed(ROLES) if role in names), "")


def rank(role: str) -> int:
    """0 for no role, 1 for viewer … 4 for admin."""
    return list(ROLES).index(role) + 1 if role in ROLES else 0


def give(user: User, role: str) -> None:
    """Make ``role`` the one role of a user (empty: none). Other groups of theirs stay."""
    user.groups.remove(*Group.objects.filter(name__in=ROLES).exclude(name=role))
    if role:
        user.groups.add(Group.objects.get(name=role))


def are_made() -> bool:
    """Whether the groups are there, and every permission that there is."""
    own = Permission.objects.filter(content_type__app_label="accounts", codename__in=ALL)
    return own.count() == len(ALL) and Group.objects.filter(name__in=ROLES).count() == len(ROLES)


@transaction.atomic
def make_groups(sender: Any, using: str = "default", **kwargs: Any) -> None:
    """Make the groups after a migration, and give those that are new their permissions."""
    create_permissions(sender, verbosity=0, using=using)
    permissions = {
        permission.codename: permission
        for permission in Permission.objects.using(using).filter(content_type__app_label="accounts", codename__in=ALL)
    }
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
    """What a user may do, by all their groups and by themselves."""
    if is_superuser:
        return ALL
    with connection.cursor() as cursor:
        cursor.execute(_PERMISSIONS, (user_id, user_id))
        return frozenset(codename for (codename,) in cursor.fetchall())
