"""Labels of kept predictions: finding the prediction by its identifier, and learning its point."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from server.core.db import locks
from server.core.errors import Conflict, Gone, Invalid, NotFound
from server.core.json_codec import loads
from server.core.validation import Checker, check_text, format_value
from server.learning.fold.replica_set import SETS
from server.learning.write_path import learn_points
from server.learning.write_path.receipts import Receipt
from server.streams import log
from server.streams.points import Note, Point
from server.streams.text_values import apply_texts


class KeptPrediction(NamedTuple):
    """A kept prediction and its stream's target kind."""

    identifier: str
    model_id: int
    stream_id: int
    of_model: bool
    x: str
    prediction: str
    seq: int | None
    expires_at: datetime
    target_kind: str


# Written as SQL, because Django takes longer to build the query than the database to answer it.
_SELECT = (
    "SELECT p.identifier, p.model_id, p.stream_id, p.of_model, p.x, p.prediction, p.seq, p.expires_at, s.target_kind"
    " FROM learning_prediction p JOIN streams_stream s ON s.id = p.stream_id JOIN learning_model m ON m.id = p.model_id"
    " WHERE p.identifier = %s"
)


def _select(identifier: str, model: str | None, streams: Collection[str] | None) -> list[KeptPrediction]:
    """Return at most two kept predictions with an identifier."""
    sql, parameters = _SELECT, [identifier]
    if streams is not None:
        if not streams:
            return []
        sql += f" AND s.name IN ({', '.join(['%s'] * len(streams))})"
        parameters += streams
    if model is not None:
        sql += " AND m.name = %s"
        parameters.append(model)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT 2", parameters)
        rows = cursor.fetchall()
    some = [KeptPrediction(*row) for row in rows]
    return [one._replace(of_model=bool(one.of_model), expires_at=log.moment(one.expires_at)) for one in some]


def find_kept_prediction(
    identifier: Any,
    model: str | None = None,
    field: str = "identifier",
    *,
    streams: Collection[str] | None = None,
) -> KeptPrediction:
    """Return the kept prediction with an identifier.

    Parameters
    ----------
    model
        The model that it must be of. Required if several models have a prediction with this identifier.
    streams
        Names of the streams to search; None for all.

    Raises
    ------
    NotFound
        If there is none.
    Conflict
        If there are several, and no model is given.
    Gone
        If it expired before its label arrived.
    Invalid
        If another model made it. The message doesn't name that model, since the caller may not be allowed to see it.
    """
    if not isinstance(identifier, str) or not identifier:
        raise Invalid(f"{field} is {format_value(identifier)}: expected the identifier of a prediction", field=field)
    check_text(identifier, field, settings.TAILRACE.max_name_length)
    try:
        some = _select(identifier, model, streams)
        is_of_another = not some and model is not None and bool(_select(identifier, None, streams))
    except (DatabaseError, InterfaceError) as exc:
        raise locks.to_unavailable(exc) from exc
    if is_of_another:
        raise Invalid(
            f"identifier {format_value(identifier)} is not of a prediction of model {format_value(model)}",
            field="model",
        )
    if not some:
        raise NotFound(f"no prediction is kept for identifier {format_value(identifier)}", field=field)
    if len(some) > 1:
        raise Conflict(
            f"several models have a prediction with identifier {format_value(identifier)}: name one of them in model",
            field="model",
            code="ambiguous",
        )
    found = some[0]
    if found.seq is None and found.expires_at < datetime.now(UTC):
        raise Gone(
            f"the prediction {format_value(identifier)} expired on {found.expires_at:%Y-%m-%d %H:%M} UTC: "
            "post the point with its features instead",
            field=field,
        )
    return found


def learn_label(
    found: KeptPrediction,
    y: Any,
    field: str = "y",
    source: dict[str, Any] | None = None,
    descriptor: str | None = None,
    written: Any = None,
) -> Receipt:
    """Learn the point of a kept prediction; its model is scored on that prediction. A repeated label changes nothing.

    Raises
    ------
    Invalid
        If ``y`` is not of the stream's kind of target.
    Conflict
        If the prediction has another label already, or ``descriptor`` is not the stream's.
    """
    check = Checker(None, found.target_kind)
    if written is not None:
        point = {"y": y}
        apply_texts(point, written, check, SETS.of(found.stream_id).seen)
        y = point["y"]
    check.y(y, field)
    note = Note(
        source=source,
        identifier=found.identifier,
        given={found.model_id: loads(found.prediction)},
        of_model=found.model_id if found.of_model else None,
    )
    receipt = learn_points.learn(found.stream_id, [Point(loads(found.x), y, note)], descriptor=descriptor)
    if receipt.duplicates:
        for span in log.spans(found.stream_id, receipt.seqs[0] - 1, receipt.seqs[0]):
            if span.xs[0] is None:  # thinned out
                continue
            if span.ys[0] != y or isinstance(span.ys[0], bool) is not isinstance(y, bool):
                raise Conflict(
                    f"prediction {format_value(found.identifier)} has the label {format_value(span.ys[0])} already, "
                    f"so it can't be {format_value(y)}",
                    field=field,
                )
    return receipt
