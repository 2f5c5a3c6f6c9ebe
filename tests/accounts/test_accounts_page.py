"""docs/how-to/accounts.md, held against the code."""

import re

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from server.accounts import jwt, roles
from server.accounts.models import Access
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

PAGE = (ROOT / "docs" / "how-to" / "accounts.md").read_text()


def test_its_table_of_permissions_is_the_code():
    words = dict(Access._meta.permissions)
    table = []
    for permission in roles.ALL:
        marks = ["✓" if permission in roles.permissions_of_role(role) else "" for role in roles.ROLES]
        (scope,) = (scope for scope, reach in roles.ALL_SCOPES.items() if permission in reach)
        table.append(f"| `{permission}` | {words[permission]} | {' | '.join(marks)} | `{scope}` |")
    written = [line for line in PAGE.splitlines() if line.endswith(tuple(f"`{scope}` |" for scope in roles.ALL_SCOPES))]
    assert sorted(written) == sorted(table)
    assert f"| permission | what it allows | {' | '.join(roles.ROLES)} | a token's scope |" in PAGE


def test_its_actions_are_those_that_are_told():
    told = set()
    for path in (ROOT / "server").rglob("*.py"):
        for call in re.findall(r"audit_signals\.send\(([^,]+),", path.read_text()):
            told |= set(re.findall(r'"([a-z_.]+)"', call))
        # By name, and not only in a call.
        for names in re.findall(r"^ACTIONS = (\{.+)", path.read_text(), re.MULTILINE):
            told |= set(re.findall(r'"([a-z_]+\.[a-z]+)"', names))
        # What goes with something else is told by whoever deletes that.
        told |= set(re.findall(r'\("([a-z_]+\.[a-z]+)", \w+\.name, ', path.read_text()))
    rows = PAGE[PAGE.index("| action |") :].split("\n\n")[0].splitlines()
    names = " ".join(row.split("|")[1] for row in rows)
    assert set(re.findall(r"`([a-z_.]+)`", names)) == told


def test_every_command_and_every_address_that_it_names_is_there():
    assert set(re.findall(r"manage\.py ([a-z_]+)", PAGE)) <= set(get_commands())
    addresses = set(re.findall(r"`(?:GET |POST )?(/[a-z0-9/]+/?)`", PAGE))
    assert len(addresses) > 5
    for address in addresses:
        try:
            resolve(address)
        except Resolver404:
            pytest.fail(f"there is no address {address}")


def test_the_life_of_an_access_token_is_as_it_says():
    assert jwt.LIFETIME == 600
    assert PAGE.count("ten\nminutes") + PAGE.count("ten minutes") == 2
