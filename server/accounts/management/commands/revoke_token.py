"""``manage.py revoke_token``: revoke a token."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.accounts import tokens
from server.accounts.models import Token
from server.core.command_errors import as_command_errors

MOST_LISTED = 20


class Command(BaseCommand):
    help = "Revoke a token and all access tokens that were issued for it, at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="number of the token, as create_token printed it")

    def handle(self, *args: Any, **options: Any) -> None:
        number = options["id"]
        with as_command_errors():
            token = Token.objects.select_related("owner").filter(pk=number).first()
            if token is None:
                raise CommandError(f"there is no token {number}; {_not_revoked()}")
            is_new = tokens.revoke(token)
        self.stdout.write(
            f"Token {number} ({token}) is revoked."
            if is_new
            else f"Token {number} ({token}) was already revoked at {token.revoked_at:%Y-%m-%d %H:%M} UTC."
        )


def _not_revoked() -> str:
    """Return the tokens that aren't revoked, for the error message."""
    found = list(Token.objects.filter(revoked_at=None).select_related("owner").order_by("pk")[: MOST_LISTED + 1])
    if not found:
        return "there are no tokens to revoke"
    listed = ", ".join(f"{token.pk} ({token})" for token in found[:MOST_LISTED])
    return f"tokens that are not revoked: {listed}{' and more' if len(found) > MOST_LISTED else ''}"
