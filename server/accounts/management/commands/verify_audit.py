"""``manage.py verify_audit``: whether the audit trail is whole."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from server.accounts import audit
from server.accounts.models import AuditHead
from server.database_state import one_line


class Command(BaseCommand):
    help = "Check the audit trail's chain of hashes. Exit 1 if an entry is missing or was altered, with what is wrong."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = list(audit.verify())
            head = AuditHead.objects.filter(pk=1).first()
        except DatabaseError as exc:
            raise CommandError(
                f"the database can't be used: {one_line(exc)}; a new one needs `manage.py migrate` first"
            ) from exc
        if found:
            raise CommandError("the audit trail is not whole:\n  " + "\n  ".join(found))
        number, last = (0, "") if head is None else (head.number, head.hash)
        self.stdout.write(
            f"The audit trail is whole: {number} entries"
            + (
                f", the last with hash {last}. Keep that hash elsewhere: it proves all that came before."
                if last
                else "."
            )
        )
