"""``manage.py recount_quotas``: recount the usage of quotas."""

from typing import Any

from django.core.management.base import BaseCommand

from server.core.command_errors import as_command_errors
from server.operations.recount import recount


class Command(BaseCommand):
    help = (
        "Recount the quota usage of users and tokens. After a server process was killed, up to a thousandth of a caller's limit "
        "for kept predictions may be counted as used; this command corrects it. The server may run meanwhile; requests that "
        "create or delete something wait."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors():
            wrong = recount()
        for user_id, token_id, quota, was, used in wrong:
            whose = f"token {token_id} of user {user_id}" if token_id else f"user {user_id}"
            self.stdout.write(f"{whose}, {quota}: {was} was counted, {used} is correct")
        self.stdout.write("Recounted." if wrong else "Recounted: all counts were correct.")
