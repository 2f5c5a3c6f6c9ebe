"""How long lines of agents' logs are kept."""

from datetime import UTC, datetime, timedelta

from django.conf import settings

from server.calculations.models import Message
from server.core import audit_signals
from server.core.db.batched_deletion import MAX_ROWS
from server.core.db.locks import transaction_for_writing


def forget_old() -> int:
    """Delete lines that are older than ``TAILRACE_AGENT_LOG_DAYS``. Return how many."""
    days: int = settings.TAILRACE.agent_log_days
    return _delete(days) if days else 0


def delete_older(days: int) -> int:
    """Delete lines that are older than some days, as an admin asks for, and record it in the audit trail. Return how many."""
    count = _delete(days)
    with transaction_for_writing():
        audit_signals.send("cluster.log", "all clusters", after={"days": days, "deleted": count})
    return count


def _delete(days: int) -> int:
    """Delete in several transactions. Numbers grow with time, so the oldest lines have the least."""
    border = datetime.now(UTC) - timedelta(days=days)
    total = 0
    while True:
        first = list(Message.objects.order_by("pk").values_list("pk", "at")[:MAX_ROWS])
        old = [pk for pk, at in first if at < border]
        if old:
            with transaction_for_writing():
                total += Message.objects.filter(pk__lte=old[-1], at__lt=border).delete()[0]
        if len(old) < MAX_ROWS:
            return total
