"""``manage.py create_token``: a token for a program."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction

from server.accounts import roles, tokens, users
from server.database_state import one_line
from server.streams.errors import NotFound, TailraceError

LONGEST_DAYS = 3650

USAGE = """\
Token {id} ({name}) of {user}{until}, for {what}.
It is the line on standard output, shown this once: keep it like a password.

With riverapi:    export RIVER_ML_USER={user}
                  export RIVER_ML_TOKEN=<the token>
With anything:    curl -H "Authorization: Bearer <the token>" http://{bind}/api/models/
To stop it:       manage.py revoke_token {id}
"""


class Command(BaseCommand):
    help = "Make a token that acts as USER. It is printed once, on standard output; how to use it, on standard error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="name of the user that the token acts as")
        parser.add_argument("--name", default="command line", help="what the token is for (default: %(default)s)")
        parser.add_argument("--days", type=int, help="days until it expires (default: never)")
        parser.add_argument(
            "--scopes",
            type=_names,
            default=",".join(roles.USUAL_SCOPES),
            metavar="SCOPE,…",
            help="what it may do, as far as the user's role allows it; create: make streams by posting (default: %(default)s)",
        )
        parser.add_argument(
            "--streams", type=_names, metavar="NAME,…", help="the only streams that it works for (default: all)"
        )
        parser.add_argument("--create-user", action="store_true", help="make the user if there is none of that name")
        parser.add_argument(
            "--role",
            choices=list(roles.ROLES),
            default="researcher",
            help="role of the user that --create-user makes (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            raise CommandError(f"--days is {days}: expected 1 to {LONGEST_DAYS}, or nothing for a token without end")
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        try:
            with transaction.atomic():
                user = _user(options["user"], options["role"] if options["create_user"] else None)
                token, secret = tokens.create(
                    user, options["name"], expires, scopes=options["scopes"], streams=options["streams"]
                )
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        except DatabaseError as exc:
            raise CommandError(
                f"the database can't be used: {one_line(exc)}; a new one needs `manage.py migrate` first"
            ) from exc
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
    """The user of that name, made with ``role`` if there is none and one is given."""
    try:
        return users.find(name)
    except NotFound as exc:
        if role is None:
            raise CommandError(f"{exc.message}: add --create-user to make one") from exc
    return users.create(name, role)
