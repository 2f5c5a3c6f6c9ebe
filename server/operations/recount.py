"""What is used of quotas, counted anew from what is there."""

from typing import NamedTuple

from django.db import connection

from server.cells import usage as cell_usage
from server.learning import usage
from server.streams import registry
from server.streams.locks import is_sqlite, transaction_for_writing
from server.streams.models import Usage


class Wrong(NamedTuple):
    """A count that was put right."""

    user_id: int
    token_id: int
    quota: str
    was: int
    used: int


def recount() -> list[Wrong]:
    """Put what is counted right. Others go on making and deleting things meanwhile, and wait for this to end.

    Blocks that running processes hold in reserve are forgotten with it: until they are spent, each process may store that
    much more than a limit allows (at most a thousandth of it for each caller).

    Returns
    -------
    list
        What was wrong.

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
    with connection.cursor() as cursor:
        for quota, query in (*registry.counted(), *usage.counted(), *cell_usage.counted()):
            cursor.execute(query)
            for user_id, token_id, amount in cursor.fetchall():
                for token in {0, token_id or 0}:
                    key = (user_id, token, quota)
                    found[key] = found.get(key, 0) + int(amount)
    return found
