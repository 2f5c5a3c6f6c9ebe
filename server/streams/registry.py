"""Streams by name: creation, look-up, changes, retraction."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F

from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import stream_transaction, transaction_for_writing
from server.core.db.single_row import SingleRowQuery
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import FEATURE_KINDS, TARGET_KINDS, check_name, check_text, format_value
from server.streams import retention, silence
from server.streams.models import Retraction, Stream
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import STREAMS, Owner

LONGEST_REASON = 2000
MOST_COMPARED = 1000
LONGEST_DESCRIPTION = 10_000


def find(name: Any) -> Stream:
    """Return the stream with that name.

    Raises
    ------
    NotFound
        If there is none.
    """
    return find_by_name(Stream.objects.all(), name, "no stream named {name}", field="stream")


_position = SingleRowQuery(
    "SELECT id, head, epoch, (SELECT value FROM streams_generation) FROM streams_stream WHERE name = %s"
)


def position(name: str) -> tuple[int, int, int, int | None] | None:
    """Return ID, head and epoch of the stream with that name, and the current generation; None if there is none.

    It is one indexed query, without the ORM.
    """
    if "\x00" in name:
        return None
    row: tuple[int, int, int, int | None] | None = _position(name)  # type: ignore[assignment]
    return row


_generation = SingleRowQuery("SELECT value FROM streams_generation")


def generation() -> int | None:
    """Return the current :class:`server.streams.models.Generation`."""
    row = _generation()
    return None if row is None else row[0]


def nearest(name: str, only: Iterable[str] | None = None) -> str | None:
    """Return the stream name that is most similar to a mistyped one; None if none is similar.

    Parameters
    ----------
    only
        Names that may be returned; None for all.
    """
    streams = Stream.objects.exclude(name=name)
    if only is not None:
        streams = streams.filter(name__in=only)
    # Only the newest, because each comparison takes some microseconds.
    names = list(streams.order_by("-pk").values_list("name", flat=True)[:MOST_COMPARED])
    folded = {one.casefold(): one for one in reversed(names)}
    close = difflib.get_close_matches(name[:200].casefold(), folded, n=1, cutoff=0.75)
    return folded[close[0]] if close else None


def create(
    name: Any,
    *,
    target_name: Any = "y",
    target_unit: Any = "",
    target_kind: Any = None,
    features: Any = None,
    segment: Any = None,
    descriptor: str | None = None,
    description: Any = "",
    expected: Any = None,
    created_by: str = "",
    owner_id: int | None = None,
    owner: Owner | None = None,
) -> Stream:
    """Create a stream.

    Parameters
    ----------
    name
        Letters, digits, ``.``, ``_`` and ``-``.
    target_name, target_unit, target_kind
        Name, unit and kind of the target (number, boolean, category, any, none; None: number if there is a unit, else any).
    features
        None, a list of names (numbers), or a mapping of name to kind (number, boolean, category).
    segment
        The feature by whose values metrics are computed separately, or None.
    descriptor
        Name of the descriptor definition that every post has to name; None for none. The caller checks that it exists.
    expected
        How often observations are expected: see :func:`server.streams.silence.parse_expected`.
    owner
        The owner whose quota it uses; None for nobody.

    Raises
    ------
    Invalid
        If a value is invalid. The message names the field and what was expected.
    Conflict
        If the name is taken. Its code is ``stream_differs`` if that stream is declared differently.
    QuotaExceeded
        If the owner has reached their quota.
    """
    check_name(name, "stream")
    check_text(target_name, "target.name", 200)
    check_text(target_unit, "target.unit", 50)
    check_text(description, "description", LONGEST_DESCRIPTION)
    given = {"target.name": target_name, "target.unit": target_unit, "target.kind": target_kind, "segment": segment}
    if target_kind is None:
        target_kind = "number" if target_unit else "any"
    if target_kind not in TARGET_KINDS:
        raise Invalid(
            f"target.kind is {format_value(target_kind)}: expected one of {', '.join(TARGET_KINDS)}",
            field="target.kind",
        )
    declared = _features(features)
    expected_every, grace = silence.parse_expected(expected)
    if segment is not None:
        check_text(segment, "segment", 200)
        if declared is not None and segment not in declared:
            raise Invalid(
                f"segment is {format_value(segment)}: expected one of the declared features ({', '.join(declared)})",
                field="segment",
            )
    try:
        with transaction_for_writing():
            stream = Stream.objects.create(
                name=name,
                description=description,
                target_name=target_name,
                target_unit=target_unit,
                target_kind=target_kind,
                features=declared,
                segment=segment,
                descriptor=descriptor,
                expected_every=expected_every,
                grace=grace,
                created_by=created_by,
                owner_id=owner_id,
                token_id=None if owner is None else owner.token_id or None,
            )
            charged = quota_usage.charge(owner, {STREAMS: 1})
            audit_signals.send("stream.create", name, after=audit_values(stream))
            charged.report()
    except IntegrityError as exc:
        raise _taken(name, {**given, "features": declared, "descriptor": descriptor}) from exc
    return stream


def _taken(name: str, given: dict[str, Any]) -> Conflict:
    """Return the error for a name that is taken, by a stream that is declared as requested or differently."""
    taken = f"there is already a stream named {format_value(name)}"
    there = Stream.objects.filter(name=name).first()
    told = {} if there is None else audit_values(there)
    told.update({f"target.{part}": value for part, value in told.pop("target", {}).items()})
    for field, value in given.items():
        if value not in (None, "") and told.get(field, value) != value:
            differs = Conflict(
                f"{taken}, and its {field} is {format_value(told[field])}, not {format_value(value)}: leave {field} out, or choose another name",
                field=field, code="stream_differs",
            )  # fmt: skip
            differs.for_anyone = taken
            return differs
    return Conflict(taken, field="name", code="name_taken")


def _features(features: Any) -> dict[str, str] | None:
    if features is None:
        return None
    if isinstance(features, list):
        if not all(isinstance(name, str) for name in features):
            raise Invalid(f"features is {format_value(features)}: expected names", field="features")
        features = dict.fromkeys(features, "number")
    if not isinstance(features, dict) or not features:
        raise Invalid(
            f"features is {format_value(features)}: expected a list of names or an object of names and kinds",
            field="features",
        )
    most = settings.TAILRACE.max_features
    if len(features) > most:
        raise Invalid(
            f"features has {len(features)} names: the most allowed is {most} (TAILRACE_MAX_FEATURES)", field="features"
        )
    for name, kind in features.items():
        if not name:
            raise Invalid("features has an empty name: expected at least one character", field="features")
        check_text(name, f"features.{name}", 200)
        if not isinstance(kind, str) or kind not in FEATURE_KINDS:
            raise Invalid(
                f"features.{name} is {format_value(kind)}: expected one of {', '.join(FEATURE_KINDS)}",
                field=f"features.{name}",
            )
    return features


def change(stream: Stream, wishes: Mapping[str, Any]) -> None:
    """Change a stream's ``description``, or how often observations are ``expected``.

    Raises
    ------
    Invalid
        If a value is invalid. The message names the field and what was expected.
    NotFound
        If the stream was deleted in the meantime.
    """
    if "description" in wishes:
        check_text(wishes["description"], "description", LONGEST_DESCRIPTION)
    every, grace = silence.parse_expected(wishes.get("expected"))
    with transaction_for_writing():
        before = audit_values(stream)
        if "description" in wishes:
            stream.description = wishes["description"]
        if "expected" in wishes:
            stream.expected_every, stream.grace = every, grace
        changed = {name: getattr(stream, name) for name in ("description", "expected_every", "grace")}
        if not Stream.objects.filter(pk=stream.pk).update(**changed):
            raise _gone(stream)
        after = audit_values(stream)
        audit_signals.send(
            "stream.change",
            stream.name,
            {name: before[name] for name in wishes},
            {name: after[name] for name in wishes},
        )


def _gone(stream: Stream) -> NotFound:
    """Return the error for a stream that another request has deleted."""
    return NotFound(f"no stream named {format_value(stream.name)}", field="stream")


def retract(stream: Stream, seq: int, reason: Any, by: str = "") -> bool:
    """Mark an observation as wrong. It stays in the log; the models are rebuilt without it.

    Returns
    -------
    bool
        Whether it is new. A repeated retraction changes nothing.

    Raises
    ------
    NotFound
        If the log has no such observation.
    Gone
        If the log is no longer complete there, so that no model can be rebuilt without the observation.
    Invalid
        If no reason is given.
    """
    return bool(retract_all(stream, [seq], reason, by))


def retract_all(stream: Stream, seqs: Sequence[int], reason: Any, by: str = "") -> int:
    """Mark observations as wrong, all or none. Return how many are new. Raises as :func:`retract`."""
    check_text(reason, "reason", LONGEST_REASON)
    if not reason.strip():
        raise Invalid("reason is empty: expected why the observation is wrong", field="reason")
    with stream_transaction(stream.pk):
        found = Stream.objects.values_list("head", "whole_after").filter(pk=stream.pk).first()
        if found is None:
            raise _gone(stream)
        head, whole_after = found
        present = set(Retraction.objects.filter(stream=stream, seq__in=seqs).values_list("seq", flat=True))
        new = sorted(set(seqs) - present)
        for seq in new:
            if not 1 <= seq <= head:
                raise NotFound(f"stream {stream.name} has no observation {seq}: its last is {head}", field="seq")
            if seq <= whole_after:
                raise retention.gone(stream.name, whole_after, f"models can't be rebuilt without {seq}")
        if new:
            Retraction.objects.bulk_create(Retraction(stream=stream, seq=seq, reason=reason, by=by) for seq in new)
            Stream.objects.filter(pk=stream.pk).update(epoch=F("epoch") + 1)
            for seq in new:
                audit_signals.send("observation.retract", f"{stream.name}/{seq}", after={"reason": reason})
    return len(new)


def usage_queries() -> list[tuple[str, str]]:
    """Return the quotas of this module, and the query that counts the usage of each: user, token and amount."""
    per_owner = "SELECT owner_id, token_id, COUNT(*) FROM streams_stream WHERE owner_id IS NOT NULL"
    return [(STREAMS, f"{per_owner} GROUP BY owner_id, token_id")]


def audit_values(stream: Stream) -> dict[str, Any]:
    """Return the values of a stream for the audit trail."""
    return {
        "target": {"name": stream.target_name, "unit": stream.target_unit, "kind": stream.target_kind},
        "features": stream.features,
        "segment": stream.segment,
        "descriptor": stream.descriptor,
        "description": stream.description,
        "expected": expected_of(stream),
    }


def expected_of(stream: Stream) -> dict[str, int] | None:
    """Return how often observations of a stream are expected, in seconds; None if it isn't set."""
    every = stream.expected_every
    return None if every is None else {"every": every, "grace": stream.grace}
