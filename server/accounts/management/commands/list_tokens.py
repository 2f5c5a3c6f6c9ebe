"""``manage.py list_tokens``: list tokens with their owners."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Q

from server.accounts import users
from server.accounts.models import Token
from server.core.command_errors import as_command_errors

HEADS = ("ID", "USER", "NAME", "ENDS IN", "SCOPES", "STREAMS", "UNTIL", "LAST USED")


class Command(BaseCommand):
    help = "List the valid tokens, without their secrets. Times are in UTC."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", nargs="?", metavar="USER", help="only tokens of this user")
        parser.add_argument("--all", action="store_true", help="also revoked and expired tokens")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        found = Token.objects.select_related("owner").order_by("pk")
        if not options["all"]:
            found = found.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
        with as_command_errors():
            if options["user"] is not None:
                found = found.filter(owner=users.find(options["user"]))
            rows = [_row(token, now) for token in found]
        if not rows:
            self.stdout.write("No tokens.")
            return
        table = [HEADS, *rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
        for row in table:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(token: Token, now: datetime) -> tuple[str, ...]:
    until = "no end" if token.expires_at is None else f"{token.expires_at:%Y-%m-%d %H:%M}"
    if token.revoked_at is not None:
        until = f"revoked {token.revoked_at:%Y-%m-%d %H:%M}"
    elif token.expires_at is not None and token.expires_at <= now:
        until = f"expired {token.expires_at:%Y-%m-%d %H:%M}"
    used = "never" if token.last_used_at is None else f"{token.last_used_at:%Y-%m-%d %H:%M}"
    streams = "all" if token.streams is None else ",".join(token.streams)
    return (
        str(token.pk),
        token.owner.username,
        token.name,
        f"…{token.hint}",
        ",".join(token.scopes),
        streams,
        until,
        used,
    )
