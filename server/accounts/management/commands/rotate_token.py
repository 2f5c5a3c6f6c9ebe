"""``manage.py rotate_token``: a new secret in the place of a token's."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from server.accounts import tokens
from server.accounts.models import Token
from server.database_state import one_line
from server.streams.errors import TailraceError

LONGEST_HOURS = 24 * 30


class Command(BaseCommand):
    help = (
        "Replace a token by a new one of the same name, scopes, streams and life. Its secret is printed once, on standard "
        "output; the old one goes on working for a while, so that jobs that wait in a queue with it still post."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="number of the token, as create_token printed it")
        parser.add_argument(
            "--overlap-hours",
            type=float,
            default=tokens.OVERLAP.total_seconds() / 3600,
            metavar="HOURS",
            help="how long the old one goes on working (default: %(default)g)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["overlap_hours"]
        if not 0 <= hours <= LONGEST_HOURS:
            raise CommandError(f"--overlap-hours is {hours:g}: expected 0 to {LONGEST_HOURS}")
        try:
            old = Token.objects.filter(pk=options["id"]).first()
            if old is None:
                raise CommandError(f"no token has the number {options['id']}; `manage.py create_token USER` makes one")
            token, secret = tokens.rotate(old, timedelta(hours=hours))
            old.refresh_from_db()
        except TailraceError as exc:
            raise CommandError(exc.message) from exc
        except DatabaseError as exc:
            raise CommandError(
                f"the database can't be used: {one_line(exc)}; a new one needs `manage.py migrate` first"
            ) from exc
        self.stdout.write(secret)
        self.stderr.write(
            f"Token {token.pk} ({token}) replaces token {old.pk}, which ends at {old.expires_at:%Y-%m-%d %H:%M} UTC. "
            "Its secret is the line on standard output, shown this once: keep it like a password.",
            style_func=str,
        )
