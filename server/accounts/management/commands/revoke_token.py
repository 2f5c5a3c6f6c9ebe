"""``manage.py revoke_token``: stop a token."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from server.accounts import tokens
from server.accounts.models import Token
from server.database_state import one_line

MOST_LISTED = 20


class Command(BaseCommand):
    help = "Stop a token, and every access token that was issued for it, from working at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="number of the token, as create_token printed it")

    def handle(self, *args: Any, **options: Any) -> None:
        number = options["id"]
        try:
            token = Token.objects.select_related("owner").filter(pk=number).first()
            if token is None:
                raise CommandError(f"no token has the number {number}; {_working()}")
            is_new = tokens.revoke(token)
        except DatabaseError as exc:
            raise CommandError(
                f"the database can't be used: {one_line(exc)}; a new one needs `manage.py migrate` first"
            ) from exc
        self.stdout.write(
            f"Token {number} ({token}) is revoked."
            if is_new
            else f"Token {number} ({token}) was revoked already, at {token.revoked_at:%Y-%m-%d %H:%M} UTC."
        )


def _working() -> str:
    """The tokens that could have been meant."""
    found = list(Token.objects.filter(revoked_at=None).select_related("owner").order_by("pk")[: MOST_LISTED + 1])
    if not found:
        return "there is none to revoke"
    listed = ", ".join(f"{token.pk} ({token})" for token in found[:MOST_LISTED])
    return f"those not revoked are {listed}{' and more' if len(found) > MOST_LISTED else ''}"
