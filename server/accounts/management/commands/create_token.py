"""``manage.py create_token``: a token for a program."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction

from server.accounts import tokens
from server.streams.errors import Invalid

LONGEST_DAYS = 3650

USAGE = """\
Token {id} ({name}) of {user}{until}. It is the line on standard output, shown this once: keep it like a password.

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
        parser.add_argument("--create-user", action="store_true", help="make the user if there is none of that name")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            raise CommandError(f"--days is {days}: expected 1 to {LONGEST_DAYS}, or nothing for a token without end")
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        try:
            with transaction.atomic():
                user = _user(options["user"], create=options["create_user"])
                token, secret = tokens.create(user, options["name"], expires)
        except Invalid as exc:
            raise CommandError(exc.message) from exc
        except DatabaseError as exc:
            raise CommandError(f"the database can't be used: {exc}; a new one needs `manage.py migrate` first") from exc
        self.stdout.write(secret)
        self.stderr.write(
            USAGE.format(
                id=token.pk,
                name=token.name,
                user=user.username,
                until="" if expires is None else f", until {expires:%Y-%m-%d %H:%M} UTC",
                bind=settings.TAILRACE.bind,
            ),
            style_func=str,
        )


def _user(name: str, *, create: bool) -> User:
    user = User.objects.filter(username=name).first()
    if user is not None:
        return user
    if not create:
        raise CommandError(f"no user named {name!r}: add --create-user to make one")
    user = User(username=name)
    user.set_unusable_password()
    try:
        user.full_clean()
    except ValidationError as exc:
        raise CommandError(f"{name!r} can't name a user: {' '.join(exc.messages)}") from exc
    user.save()
    return user
