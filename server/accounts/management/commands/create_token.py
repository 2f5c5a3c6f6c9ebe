"""``manage.py create_token``: create a token for a program."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from server.accounts import roles, tokens, users
from server.core.command_errors import as_command_errors
from server.core.errors import NotFound

LONGEST_DAYS = 3650

USAGE = """\
Token {id} ({name}) of {user}{until}, for {what}.
The line on standard output is its secret. It is shown only once: keep it like a password.

With riverapi:    export RIVER_ML_USER={user}
                  export RIVER_ML_TOKEN=<the token>
With other tools: curl -H "Authorization: Bearer <the token>" http://{bind}/api/models/
To revoke it:     manage.py revoke_token {id}
"""


class Command(BaseCommand):
    help = "Create a token that acts as USER. Prints its secret on standard output, only once, and how to use it on standard error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="name of the user that the token acts as")
        parser.add_argument("--name", default="command line", help="what the token is for (default: %(default)s)")
        parser.add_argument("--days", type=int, help="days until it expires (default: never)")
        parser.add_argument(
            "--scopes",
            type=_names,
            default=",".join(roles.DEFAULT_SCOPES),
            metavar="SCOPE,…",
            help="what the token may do, within the user's role; create: create streams by posting (default: %(default)s)",
        )
        parser.add_argument(
            "--streams", type=_names, metavar="NAME,…", help="restrict the token to these streams (default: all)"
        )
        parser.add_argument("--create-user", action="store_true", help="create the user if it doesn't exist")
        parser.add_argument(
            "--role",
            choices=list(roles.ROLES),
            default="researcher",
            help="role of the user that --create-user creates (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            raise CommandError(
                f"--days is {days}: expected 1 to {LONGEST_DAYS}; leave it out for a token that never expires"
            )
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        with as_command_errors(), transaction.atomic():
            user = _user(options["user"], options["role"] if options["create_user"] else None)
            token, secret = tokens.create(
                user, options["name"], expires, scopes=options["scopes"], streams=options["streams"]
            )
        self.stdout.write(secret)
        self.stderr.write(
            USAGE.format(
                id=token.pk,
                name=token.name,
                user=user.username,
                until="" if expires is None else f", until {expires:%Y-%m-%d %H:%M} UTC",
                what=", ".join(token.scopes) + ("" if token.streams is None else " on " + ", ".join(token.streams)),
                bind=settings.TAILRACE.reachable_at,
            ),
            style_func=str,
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _user(name: str, role: str | None) -> User:
    """Return the user with that name. If there is none and ``role`` is given, create them."""
    try:
        return users.find(name)
    except NotFound as exc:
        if role is None:
            raise CommandError(f"{exc.message}: add --create-user to create it") from exc
    return users.create(name, role)
