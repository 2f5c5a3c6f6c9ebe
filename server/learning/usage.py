"""What models and kept predictions count for in their owners' quotas."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Length

from server.learning.models import Model, Snapshot
from server.streams import quota_usage
from server.streams.locks import is_sqlite, transaction_for_writing
from server.streams.quota_reserves import Reserves
from server.streams.quota_usage import Freed
from server.streams.quotas import ARTIFACT_BYTES, MODELS, PREDICTION_BYTES
from server.streams.turns import ROWS, among, delete_in_turns

PREDICTION_ROW_BYTES = 256
"""What a kept prediction takes beside its identifier, its features and itself: other columns and six indexes, about."""

PREDICTIONS = Reserves(PREDICTION_BYTES)

_SIZES = {
    "sqlite": f"{PREDICTION_ROW_BYTES} + LENGTH(CAST(identifier AS BLOB)) + LENGTH(CAST(x AS BLOB))"
    " + LENGTH(CAST(prediction AS BLOB))",
    "postgresql": f"{PREDICTION_ROW_BYTES} + octet_length(identifier) + octet_length(x) + octet_length(prediction)",
}


def prediction_bytes(identifier: str, x: str, prediction: str) -> int:
    """What a kept prediction counts for, of its columns as they are stored."""
    if identifier.isascii() and x.isascii() and prediction.isascii():
        return PREDICTION_ROW_BYTES + len(identifier) + len(x) + len(prediction)
    return PREDICTION_ROW_BYTES + len(identifier.encode()) + len(x.encode()) + len(prediction.encode())


def of_model(initial: bytes) -> dict[str, int]:
    """What a model counts for."""
    return {MODELS: 1, ARTIFACT_BYTES: len(initial)}


def of_deleted_models(models: QuerySet[Model]) -> list[Freed]:
    """What counts no longer once these are deleted; their kept predictions are deleted here. The caller has locked the models."""
    own = [
        freed
        for owner_id, token_id, size in models.values_list("owner_id", "token_id", Length("initial"))
        for freed in (Freed(owner_id, token_id, MODELS, 1), Freed(owner_id, token_id, ARTIFACT_BYTES, size))
    ]
    numbers = list(models.values_list("pk", flat=True))
    for first in range(0, len(numbers), ROWS):
        some = numbers[first : first + ROWS]
        own += delete_predictions(among("model_id", some), some)[1]
    return own


def delete_predictions_in_turns(where: str, *parameters: Any) -> int:
    """Delete kept predictions in several transactions, so that others write in between.

    Parameters
    ----------
    where
        Which; it may end in an order.
    parameters
        The values in it.

    Returns
    -------
    int
        How many.

    Raises
    ------
    Unavailable
        If the database can't be reached or can't store: some may be deleted, and the same again deletes the rest.
    """
    query = f"SELECT id, {_SIZES[connection.vendor]} FROM learning_prediction WHERE {where}"
    return delete_in_turns(query, parameters, _delete_turn)


def _delete_turn(numbers: list[int]) -> int:
    with transaction_for_writing():
        deleted, freed = delete_predictions(among("id", numbers), numbers)
        quota_usage.release(freed)
    return deleted


def delete_snapshots_in_turns(where: str, *parameters: Any) -> int:
    """Delete snapshots, which count in no quota, as :func:`delete_predictions_in_turns` does kept predictions."""
    return delete_in_turns(
        f"SELECT id, LENGTH(state) FROM learning_snapshot WHERE {where}", parameters, _delete_snapshots
    )


def _delete_snapshots(numbers: list[int]) -> int:
    with transaction_for_writing():
        return Snapshot.objects.filter(pk__in=numbers).delete()[0]


def delete_predictions(where: str, parameters: Sequence[Any]) -> tuple[int, list[Freed]]:
    """Delete kept predictions, each of which no other process deletes too.

    Returns
    -------
    tuple
        How many, and what counts no longer.
    """
    columns = f"owner_id, token_id, {_SIZES[connection.vendor]}"
    with connection.cursor() as cursor:
        if is_sqlite():  # whose transaction has the database to itself
            cursor.execute(f"SELECT {columns} FROM learning_prediction WHERE {where}", parameters)
            rows = cursor.fetchall()
            cursor.execute(f"DELETE FROM learning_prediction WHERE {where}", parameters)
        else:
            cursor.execute(f"DELETE FROM learning_prediction WHERE {where} RETURNING {columns}", parameters)
            rows = cursor.fetchall()
    # Summed here: a GROUP BY of SQLite's copies every text before it measures any.
    sums: dict[tuple[int | None, int | None], int] = defaultdict(int)
    for owner_id, token_id, size in rows:
        sums[owner_id, token_id] += size
    return len(rows), [Freed(*whose, PREDICTION_BYTES, size) for whose, size in sums.items()]


def counted() -> list[tuple[str, str]]:
    """Quotas, and the query that counts each anew: user, token and amount."""
    one_by_one = "SELECT owner_id, token_id, {} FROM {} WHERE owner_id IS NOT NULL GROUP BY owner_id, token_id"
    return [
        (MODELS, one_by_one.format("COUNT(*)", "learning_model")),
        (ARTIFACT_BYTES, one_by_one.format("SUM(LENGTH(initial))", "learning_model")),
        (PREDICTION_BYTES, one_by_one.format(f"SUM({_SIZES[connection.vendor]})", "learning_prediction")),
    ]
