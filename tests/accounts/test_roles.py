"""Roles as Django groups, and what they add up to."""

import itertools

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from server.accounts import roles, tokens
from server.accounts.models import Access
from tests.people import person
from tests.serving import ROOT

pytestmark = pytest.mark.django_db


def test_each_role_includes_the_one_before():
    held = [set(roles.permissions_of_role(role)) for role in roles.ROLES]
    assert all(less < more for less, more in itertools.pairwise(held))
    assert held[-1] == roles.ALL


def test_each_role_is_a_group_with_just_its_permissions():
    for role in roles.ROLES:
        group = Group.objects.get(name=role)
        assert set(group.permissions.values_list("codename", flat=True)) == set(roles.permissions_of_role(role))


def test_every_permission_is_in_one_role_and_one_scope():
    added = [permission for some in roles.ROLES.values() for permission in some]
    assert len(added) == len(set(added)) == len(roles.ALL)
    reached = [permission for some in roles.ALL_SCOPES.values() for permission in some]
    assert len(reached) == len(set(reached))
    assert set(reached) == roles.ALL
    assert set(Permission.objects.filter(content_type__app_label="accounts", content_type__model="access").values_list(
        "codename", flat=True
    )) == roles.ALL  # fmt: skip


def test_a_user_has_one_role_and_other_groups_stay():
    ada = person("ada", "viewer")
    ada.groups.add(Group.objects.create(name="friends"))
    for role in ("researcher", "admin", "moderator", "viewer", ""):
        roles.assign(ada, role)
        assert roles.role_of(ada) == role
        assert roles.permissions_of(ada.pk, is_superuser=False) == set(roles.permissions_of_role(role) if role else ())
        assert set(ada.groups.values_list("name", flat=True)) == {"friends", role} - {""}


def test_a_role_that_there_is_not_is_given_to_nobody():
    ada = person("ada", "viewer")
    with pytest.raises(Group.DoesNotExist):
        roles.assign(ada, "root")


def test_a_superuser_is_an_admin():
    root = User.objects.create_superuser("root")
    assert roles.role_of(root) == "admin"
    assert roles.permissions_of(root.pk, is_superuser=True) == roles.ALL


def test_a_group_of_a_sites_own_adds_what_it_has():
    eve = person("eve", "viewer")
    retractors = Group.objects.create(name="retractors")
    retractors.permissions.add(Permission.objects.get(codename="retract", content_type__app_label="accounts"))
    eve.groups.add(retractors)
    assert roles.permissions_of(eve.pk, is_superuser=False) == {"read", "retract"}
    assert roles.role_of(eve) == "viewer"


def test_a_permission_of_a_users_own_counts_and_one_of_another_app_does_not():
    eve = person("eve", "")
    eve.user_permissions.add(Permission.objects.get(codename="learn", content_type__app_label="accounts"))
    eve.user_permissions.add(Permission.objects.get(codename="add_user"))
    assert roles.permissions_of(eve.pk, is_superuser=False) == {"learn"}


@pytest.mark.one_database
@pytest.mark.parametrize("role", ["", *roles.ROLES])
@pytest.mark.parametrize("scopes", [["learn"], ["predict", "read"], ["manage"], list(roles.SCOPES)])
def test_a_token_may_what_both_its_owner_and_its_scopes_may(role, scopes):
    _, secret = tokens.create(person("ada", role), "test", scopes=scopes)
    reach = set().union(*(roles.SCOPES[scope] for scope in scopes))
    assert tokens.verify(secret).permissions == reach & set(roles.permissions_of_role(role) if role else ())


def test_groups_are_made_again_where_they_are_missing_and_others_keep_what_they_have():
    Group.objects.get(name="viewer").delete()
    Group.objects.get(name="researcher").permissions.clear()
    extra = Group.objects.create(name="extra")
    roles.make_groups(apps.get_app_config("accounts"))
    assert set(Group.objects.get(name="viewer").permissions.values_list("codename", flat=True)) == {"read"}
    assert Group.objects.get(name="researcher").permissions.count() == len(roles.permissions_of_role("researcher"))
    assert not extra.permissions.exists()


def test_a_start_that_was_killed_before_the_roles_were_made_is_noticed():
    assert roles.exist()
    Group.objects.get(name="moderator").delete()
    assert not roles.exist()
    roles.make_groups(apps.get_app_config("accounts"))
    assert roles.exist()
    Permission.objects.get(codename="retract").delete()
    assert not roles.exist()


def test_a_permission_of_an_older_release_gets_its_current_name():
    own = Permission.objects.filter(content_type__app_label="accounts", content_type__model="access")
    own.update(name="Name of an older release")
    roles.make_groups(apps.get_app_config("accounts"))
    assert dict(own.values_list("codename", "name")) == dict(Access._meta.permissions)


def test_the_page_on_accounts_has_the_names_of_the_permissions():
    page = (ROOT / "docs" / "how-to" / "accounts.md").read_text()
    for codename, name in Access._meta.permissions:
        assert f"| `{codename}` | {name} |" in page
