"""Recount of quota usage from the stored data."""

from typing import NamedTuple

from django.db import connection

from server.cells import quota_counts as cell_usage
from server.core.db.locks import is_sqlite, transaction_for_writing
from server.learning import quota_counts
from server.streams import registry
from server.streams.models import Usage
from server.tracking import artifacts, run_quotas


class Wrong(NamedTuple):
    """A corrected count."""

    user_id: int
    token_id: int
    quota: str
    was: int
    used: int


def recount() -> list[Wrong]:
    """Recount and correct the usage. Requests that create or delete objects meanwhile wait for it.

    Reserves of running processes are not counted. Until they are used up, each process may exceed a limit by them, at most by a
    thousandth of it for each caller.

    Returns
    -------
    list
        The corrected counts.

    Raises
    ------
    Unavailable
        If the database can't be reached or can't store.
    """
    with transaction_for_writing():
        if not is_sqlite():
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE streams_usage IN EXCLUSIVE MODE")
        right = _counted()
        wrong = []
        for row in Usage.objects.order_by("user_id", "token_id", "quota"):
            used = right.pop((row.user_id, row.token_id, row.quota), 0)
            if used != row.used:
                wrong.append(Wrong(row.user_id, row.token_id, row.quota, row.used, used))
                row.used = used
                row.save(update_fields=["used"])
        for (user_id, token_id, quota), used in right.items():
            wrong.append(Wrong(user_id, token_id, quota, 0, used))
            Usage.objects.create(user_id=user_id, token_id=token_id, quota=quota, used=used)
        return wrong


def _counted() -> dict[tuple[int, int, str], int]:
    found: dict[tuple[int, int, str], int] = {}
    queries = [
        query
        for counted in (registry, quota_counts, cell_usage, artifacts, run_quotas)
        for query in counted.usage_queries()
    ]
    with connection.cursor() as cursor:
        for quota, query in queries:
            cursor.execute(query)
            for user_id, token_id, amount in cursor.fetchall():
                for token in {0, token_id or 0}:
                    key = (user_id, token, quota)
                    found[key] = found.get(key, 0) + int(amount)
    return found
