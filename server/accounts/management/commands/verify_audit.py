"""``manage.py verify_audit``: check that the audit trail is complete and unaltered."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from server.accounts import audit
from server.accounts.models import AuditHead
from server.core.command_errors import as_command_errors


class Command(BaseCommand):
    help = "Check the chain of hashes of the audit trail. Exits with 1 and lists the errors if entries are missing or altered."

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors():
            found = list(audit.verify())
            head = AuditHead.objects.filter(pk=1).first()
        if found:
            raise CommandError("the audit trail is not intact:\n  " + "\n  ".join(found))
        number, last = (0, "") if head is None else (head.number, head.hash)
        self.stdout.write(
            f"The audit trail is intact: {number} entries"
            + (
                f", the last with hash {last}. Store this hash elsewhere: it proves all earlier entries."
                if last
                else "."
            )
        )
