"""Quota usage of models and kept predictions, and their deletion with the release of quota."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Length

from server.core.db.batched_deletion import MAX_ROWS, delete_in_batches, in_list
from server.core.db.locks import is_sqlite, transaction_for_writing
from server.learning.models import Model, Snapshot
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import ARTIFACT_BYTES, MODELS, PREDICTION_BYTES
from server.streams.quotas.quota_usage import Freed
from server.streams.quotas.reserves import Reserves

PREDICTION_ROW_BYTES = 256
"""Approximate size of a kept prediction's other columns and its six indexes, bytes."""

PREDICTIONS = Reserves(PREDICTION_BYTES)

_SIZES = {
    "sqlite": f"{PREDICTION_ROW_BYTES} + LENGTH(CAST(identifier AS BLOB)) + LENGTH(CAST(x AS BLOB))"
    " + LENGTH(CAST(prediction AS BLOB))",
    "postgresql": f"{PREDICTION_ROW_BYTES} + octet_length(identifier) + octet_length(x) + octet_length(prediction)",
}


def prediction_bytes(identifier: str, x: str, prediction: str) -> int:
    """Return the bytes that a kept prediction counts for."""
    if identifier.isascii() and x.isascii() and prediction.isascii():
        return PREDICTION_ROW_BYTES + len(identifier) + len(x) + len(prediction)
    return PREDICTION_ROW_BYTES + len(identifier.encode()) + len(x.encode()) + len(prediction.encode())


def of_model(initial: bytes) -> dict[str, int]:
    """Return what a model counts for, by quota."""
    return {MODELS: 1, ARTIFACT_BYTES: len(initial)}


def of_deleted_models(models: QuerySet[Model]) -> list[Freed]:
    """Delete the models' kept predictions. Return the quota that is released with them and the models, which are locked."""
    own = [
        freed
        for owner_id, token_id, size in models.values_list("owner_id", "token_id", Length("initial"))
        for freed in (Freed(owner_id, token_id, MODELS, 1), Freed(owner_id, token_id, ARTIFACT_BYTES, size))
    ]
    numbers = list(models.values_list("pk", flat=True))
    for first in range(0, len(numbers), MAX_ROWS):
        some = numbers[first : first + MAX_ROWS]
        own += delete_predictions(in_list("model_id", some), some)[1]
    return own


def delete_predictions_in_turns(where: str, *parameters: Any) -> int:
    """Delete kept predictions in several transactions, so that others can write in between.

    Parameters
    ----------
    where
        SQL condition; it may end with ORDER BY.
    parameters
        Its parameters.

    Returns
    -------
    int
        Number of deleted predictions.

    Raises
    ------
    Unavailable
        If the database can't be reached or can't store. Some may be deleted; call again to delete the rest.
    """
    query = f"SELECT id, {_SIZES[connection.vendor]} FROM learning_prediction WHERE {where}"
    return delete_in_batches(query, parameters, _delete_turn)


def _delete_turn(numbers: list[int]) -> int:
    with transaction_for_writing():
        deleted, freed = delete_predictions(in_list("id", numbers), numbers)
        quota_usage.release(freed)
    return deleted


def delete_snapshots_in_turns(where: str, *parameters: Any) -> int:
    """Delete snapshots in several transactions, as :func:`delete_predictions_in_turns`. Snapshots count for no quota."""
    return delete_in_batches(
        f"SELECT id, LENGTH(state) FROM learning_snapshot WHERE {where}", parameters, _delete_snapshots
    )


def _delete_snapshots(numbers: list[int]) -> int:
    with transaction_for_writing():
        return Snapshot.objects.filter(pk__in=numbers).delete()[0]


def delete_predictions(where: str, parameters: Sequence[Any]) -> tuple[int, list[Freed]]:
    """Delete kept predictions. No other process may delete the same ones.

    Returns
    -------
    tuple
        Number of deleted predictions, and the quota released.
    """
    columns = f"owner_id, token_id, {_SIZES[connection.vendor]}"
    with connection.cursor() as cursor:
        if is_sqlite():  # no other transaction writes at the same time
            cursor.execute(f"SELECT {columns} FROM learning_prediction WHERE {where}", parameters)
            rows = cursor.fetchall()
            cursor.execute(f"DELETE FROM learning_prediction WHERE {where}", parameters)
        else:
            cursor.execute(f"DELETE FROM learning_prediction WHERE {where} RETURNING {columns}", parameters)
            rows = cursor.fetchall()
    # Summed in Python, because GROUP BY on SQLite copies every text before it measures it.
    sums: dict[tuple[int | None, int | None], int] = defaultdict(int)
    for owner_id, token_id, size in rows:
        sums[owner_id, token_id] += size
    return len(rows), [Freed(*whose, PREDICTION_BYTES, size) for whose, size in sums.items()]


def usage_queries() -> list[tuple[str, str]]:
    """Return quotas with the query that recounts each: user, token and amount."""
    one_by_one = "SELECT owner_id, token_id, {} FROM {} WHERE owner_id IS NOT NULL GROUP BY owner_id, token_id"
    return [
        (MODELS, one_by_one.format("COUNT(*)", "learning_model")),
        (ARTIFACT_BYTES, one_by_one.format("SUM(LENGTH(initial))", "learning_model")),
        (PREDICTION_BYTES, one_by_one.format(f"SUM({_SIZES[connection.vendor]})", "learning_prediction")),
    ]
