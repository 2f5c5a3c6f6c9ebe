"""Streams by name: made, found, retracted from."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F

from server.streams import changes, quota_usage, retention, silence
from server.streams.errors import Conflict, Invalid, NotFound
from server.streams.locks import stream_transaction, transaction_for_writing
from server.streams.models import Retraction, Stream
from server.streams.quotas import STREAMS, Owner
from server.streams.reading import OneRow
from server.streams.validation import FEATURE_KINDS, TARGET_KINDS, check_name, check_text, shown

LONGEST_REASON = 2000
MOST_COMPARED = 1000
LONGEST_DESCRIPTION = 10_000


def find(name: Any) -> Stream:
    """The stream called ``name``.

    Raises
    ------
    NotFound
        If there is none.
    """
    stream = Stream.objects.filter(name=name).first() if isinstance(name, str) and "\x00" not in name else None
    if stream is None:
        raise NotFound(f"no stream named {shown(name)}", field="stream")
    return stream


_position = OneRow("SELECT id, head, epoch, (SELECT value FROM streams_generation) FROM streams_stream WHERE name = %s")


def position(name: str) -> tuple[int, int, int, int | None] | None:
    """Id, head and epoch of the stream called ``name``, and the generation of what callers may do; or None.

    One indexed read, without the cost of the ORM.
    """
    if "\x00" in name:
        return None
    row: tuple[int, int, int, int | None] | None = _position(name)  # type: ignore[assignment]
    return row


_generation = OneRow("SELECT value FROM streams_generation")


def generation() -> int | None:
    """The generation of what callers may do."""
    row = _generation()
    return None if row is None else row[0]


def nearest(name: str, only: Iterable[str] | None = None) -> str | None:
    """The stream whose name is most similar to a mistyped one; None where none is.

    Parameters
    ----------
    only
        The names that may be told; None for all.
    """
    streams = Stream.objects.exclude(name=name)
    if only is not None:
        streams = streams.filter(name__in=only)
    # Of very many, the newest: a comparison takes some microseconds for each.
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
    """Make a stream.

    Parameters
    ----------
    name
        Letters, digits, ``.``, ``_`` and ``-``.
    target_name, target_unit, target_kind
        What is predicted, in which unit, and of which kind (number, boolean, category, any, none; None: number where
        there is a unit, else any).
    features
        None, a list of names (numbers), or a mapping of name to kind (number, boolean, category).
    segment
        The feature by whose values metrics are kept apart, or None.
    descriptor
        What every post has to name as the definition of its features; None where posts name none. That there is one
        of that name is the caller's to know.
    expected
        How often observations are expected: see :func:`server.streams.silence.wished`.
    owner
        Whose quota it counts for; None for nobody's.

    Raises
    ------
    Invalid
        Naming the field and what was expected.
    Conflict
        If there is such a stream already; its code is ``stream_differs`` where that one was declared otherwise.
    QuotaExceeded
        If the owner has as many as they may.
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
            f"target.kind is {shown(target_kind)}: expected one of {', '.join(TARGET_KINDS)}", field="target.kind"
        )
    declared = _features(features)
    expected_every, grace = silence.wished(expected)
    if segment is not None:
        check_text(segment, "segment", 200)
        if declared is not None and segment not in declared:
            raise Invalid(
                f"segment is {shown(segment)}: expected one of the declared features ({', '.join(declared)})",
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
            changes.tell("stream.create", name, after=told_of(stream))
            charged.tell()
    except IntegrityError as exc:
        raise _taken(name, {**given, "features": declared, "descriptor": descriptor}) from exc
    return stream


def _taken(name: str, given: dict[str, Any]) -> Conflict:
    """Why a stream can't be made, as there is one of its name: which may be what was asked for, or not."""
    taken = f"there is a stream named {shown(name)} already"
    there = Stream.objects.filter(name=name).first()
    told = {} if there is None else told_of(there)
    told.update({f"target.{part}": value for part, value in told.pop("target", {}).items()})
    for field, value in given.items():
        if value not in (None, "") and told.get(field, value) != value:
            differs = Conflict(
                f"{taken}, and its {field} is {shown(told[field])}, not {shown(value)}: leave that out, or choose another name",
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
            raise Invalid(f"features is {shown(features)}: expected names", field="features")
        features = dict.fromkeys(features, "number")
    if not isinstance(features, dict) or not features:
        raise Invalid(
            f"features is {shown(features)}: expected a list of names or an object of names and kinds", field="features"
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
                f"features.{name} is {shown(kind)}: expected one of {', '.join(FEATURE_KINDS)}",
                field=f"features.{name}",
            )
    return features


def change(stream: Stream, wishes: Mapping[str, Any]) -> None:
    """Change a stream's ``description``, or how often observations are ``expected``.

    Raises
    ------
    Invalid
        Naming the field and what was expected.
    NotFound
        If it was deleted meanwhile.
    """
    if "description" in wishes:
        check_text(wishes["description"], "description", LONGEST_DESCRIPTION)
    every, grace = silence.wished(wishes.get("expected"))
    with transaction_for_writing():
        told = told_of(stream)
        if "description" in wishes:
            stream.description = wishes["description"]
        if "expected" in wishes:
            stream.expected_every, stream.grace = every, grace
        changed = {name: getattr(stream, name) for name in ("description", "expected_every", "grace")}
        if not Stream.objects.filter(pk=stream.pk).update(**changed):
            raise _gone(stream)
        after = told_of(stream)
        changes.tell(
            "stream.change", stream.name, {name: told[name] for name in wishes}, {name: after[name] for name in wishes}
        )


def _gone(stream: Stream) -> NotFound:
    """That another request deleted it."""
    return NotFound(f"no stream named {shown(stream.name)}", field="stream")


def retract(stream: Stream, seq: int, reason: Any, by: str = "") -> bool:
    """Mark an observation as wrong. It stays in the log; the models are rebuilt without it.

    Returns
    -------
    bool
        Whether it is new: a repeated retraction changes nothing.

    Raises
    ------
    NotFound
        If the log holds no such observation.
    Gone
        If it is one of those that aren't all kept: no model can be rebuilt without it.
    Invalid
        If no reason is given.
    """
    check_text(reason, "reason", LONGEST_REASON)
    if not reason.strip():
        raise Invalid("reason is empty: expected why the observation is wrong", field="reason")
    with stream_transaction(stream.pk):
        found = Stream.objects.values_list("head", "whole_after").filter(pk=stream.pk).first()
        if found is None:
            raise _gone(stream)
        head, whole_after = found
        if not 1 <= seq <= head:
            raise NotFound(f"stream {stream.name} has no observation {seq}: its last is {head}", field="seq")
        if seq <= whole_after and not Retraction.objects.filter(stream=stream, seq=seq).exists():
            raise retention.gone(stream.name, whole_after, f"what models learned from {seq} can't be taken back")
        _, created = Retraction.objects.get_or_create(stream=stream, seq=seq, defaults={"reason": reason, "by": by})
        if created:
            Stream.objects.filter(pk=stream.pk).update(epoch=F("epoch") + 1)
            changes.tell("observation.retract", f"{stream.name}/{seq}", after={"reason": reason})
    return created


def counted() -> list[tuple[str, str]]:
    """Quotas, and the query that counts each anew: user, token and amount."""
    per_owner = "SELECT owner_id, token_id, COUNT(*) FROM streams_stream WHERE owner_id IS NOT NULL"
    return [(STREAMS, f"{per_owner} GROUP BY owner_id, token_id")]


def told_of(stream: Stream) -> dict[str, Any]:
    """What the audit trail says of a stream."""
    return {
        "target": {"name": stream.target_name, "unit": stream.target_unit, "kind": stream.target_kind},
        "features": stream.features,
        "segment": stream.segment,
        "descriptor": stream.descriptor,
        "description": stream.description,
        "expected": expected_of(stream),
    }


def expected_of(stream: Stream) -> dict[str, int] | None:
    """How often observations of a stream are expected, in seconds; None where none are."""
    every = stream.expected_every
    return None if every is None else {"every": every, "grace": stream.grace}
