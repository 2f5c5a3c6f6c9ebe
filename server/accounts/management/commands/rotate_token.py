"""``manage.py rotate_token``: replace a token by a new one."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.accounts import tokens
from server.accounts.models import Token
from server.core.command_errors import as_command_errors

LONGEST_HOURS = 24 * 30


class Command(BaseCommand):
    help = (
        "Replace a token by a new one with the same name, scopes, streams and lifetime. Prints the new secret on standard "
        "output, only once. The old token works for some time, so that queued jobs can still post with it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="number of the token, as create_token printed it")
        parser.add_argument(
            "--overlap-hours",
            type=float,
            default=tokens.OVERLAP.total_seconds() / 3600,
            metavar="HOURS",
            help="how long the old token still works (default: %(default)g)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["overlap_hours"]
        if not 0 <= hours <= LONGEST_HOURS:
            raise CommandError(f"--overlap-hours is {hours:g}: expected 0 to {LONGEST_HOURS}")
        with as_command_errors():
            old = Token.objects.filter(pk=options["id"]).first()
            if old is None:
                raise CommandError(
                    f"there is no token {options['id']}; run `manage.py create_token USER` to create one"
                )
            token, secret = tokens.rotate(old, timedelta(hours=hours))
            old.refresh_from_db()
        self.stdout.write(secret)
        self.stderr.write(
            f"Token {token.pk} ({token}) replaces token {old.pk}, which expires at {old.expires_at:%Y-%m-%d %H:%M} UTC. "
            "The line on standard output is its secret. It is shown only once: keep it like a password.",
            style_func=str,
        )
