"""Users with a role and their tokens, as tests need them."""

import json
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from server.accounts import roles, tokens
from tests.serving import Server

PASSWORD = "a hill of 12 stones"


def person(name: str = "ada", role: str = "researcher", **fields: Any) -> User:
    """A user who has that role (empty: none)."""
    user = User.objects.create_user(name, **fields)
    roles.assign(user, role)
    return user


def secret_of(user: User, scopes: Sequence[str] = tuple(roles.SCOPES), streams: Sequence[str] | None = None) -> str:
    """The secret of a new token of theirs."""
    return tokens.create(user, "test", scopes=scopes, streams=streams)[1]


def made_on(server: Server, **people: str) -> dict[str, tuple[int, str]]:
    """Users of a real server by name and role, and the number and secret of a token of each: one command makes them all."""
    code = (
        "import json; from server.accounts import roles, tokens, users\n"
        "made = {name: tokens.create(users.create(name, role), 'test', scopes=tuple(roles.SCOPES))"
        f" for name, role in {people!r}.items()}}\n"
        "print(json.dumps({name: (token.pk, secret) for name, (token, secret) in made.items()}))"
    )
    done = server.manage("shell", "-v", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return {name: (number, secret) for name, (number, secret) in json.loads(done.stdout).items()}


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a token or an access token."""
    return {"Authorization": f"Bearer {secret}"}
