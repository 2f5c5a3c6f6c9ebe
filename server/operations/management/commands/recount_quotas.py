"""``manage.py recount_quotas``: what is used of quotas, counted anew."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from server.operations.recount import recount
from server.streams.errors import Unavailable


class Command(BaseCommand):
    help = (
        "Count anew what users and tokens use of their quotas. A server process that is killed leaves up to a thousandth of a "
        "caller's limit for kept predictions counted as used; this puts it right. The server may run meanwhile: whoever makes or "
        "deletes something waits until it is done."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            wrong = recount()
        except Unavailable as exc:
            raise CommandError(exc.message) from exc
        for user_id, token_id, quota, was, used in wrong:
            whose = f"token {token_id} of user {user_id}" if token_id else f"user {user_id}"
            self.stdout.write(f"{whose}, {quota}: {was} was counted, {used} is right")
        self.stdout.write("Counted anew." if wrong else "Counted anew: all was right.")
