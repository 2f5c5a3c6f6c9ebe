"""Databases of interactions: defined once under a name, and the same for ever."""

from typing import Any

from django.db import IntegrityError
from django.db.models import Max

from server.cells import exporting
from server.cells.canonical import canonical
from server.cells.models import Database
from server.cells.selection import Definition, Selected, counts, definition_of, select
from server.streams import changes
from server.streams.codec import loads, text
from server.streams.errors import Conflict, Invalid, NotFound
from server.streams.locks import transaction_for_writing
from server.streams.models import Retraction, Stream
from server.streams.validation import as_whole, check_name, check_text, shown

FIELDS = ("name", "stream", "compositions", "cells", "types", "seed", "until")
MOST_NAMES = 1000
LARGEST_SEED = 2**63 - 1
LARGEST_DEFINITION = 2**20


def asked_for(payload: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """The definition that a request asks for, checked, with what it leaves out filled in.

    Raises
    ------
    Invalid
        Naming the field, its value and what was expected.
    """
    check_name(payload["name"], "database")
    return {
        "stream": stream.name,
        "compositions": _names(payload.get("compositions"), "compositions"),
        "cells": _names(payload.get("cells"), "cells"),
        "types": _types(payload.get("types"), stream),
        "seed": _whole(payload.get("seed", 0), "seed", 0, LARGEST_SEED),
        "until": None if payload.get("until") is None else _whole(payload["until"], "until", 0, stream.head),
    }


def _names(value: Any, field: str) -> list[str] | None:
    if value is None:
        return None
    if type(value) is not list or not 0 < len(value) <= MOST_NAMES:
        raise Invalid(f"{field} is {shown(value)}: expected null or a list of 1 to {MOST_NAMES} strings", field=field)
    for n, name in enumerate(value):
        check_text(name, f"{field}[{n}]", 200)
    return sorted(set(value))


def _types(value: Any, stream: Stream) -> dict[str, int | None] | None:
    if value is None:
        return None
    if type(value) is not dict or not 0 < len(value) <= MOST_NAMES:
        raise Invalid(
            f"types is {shown(value)}: expected null, or an object of types and how many of each at most (null: all)",
            field="types",
        )
    if stream.segment is None:
        raise Invalid(f"types can't be told apart: stream {stream.name} has no segment feature", field="types")
    for name in value:
        check_text(name, "types", 1000)
    return {
        name: None if most is None else _whole(most, f"types.{name}", 1, LARGEST_SEED) for name, most in value.items()
    }


def _whole(value: Any, field: str, least: int, most: int) -> int:
    value = as_whole(value)
    if type(value) is not int or not least <= value <= most:
        raise Invalid(f"{field} is {shown(value)}: expected a whole number from {least} to {most}", field=field)
    return value


def create(
    name: str, asked: dict[str, Any], stream: Stream, *, created_by: str = "", owner_id: int | None = None
) -> tuple[Database, bool]:
    """Select from the log as it is now, and keep the definition.

    Parameters
    ----------
    name, asked
        From a request that :func:`asked_for` has checked.

    Returns
    -------
    database, created
        The database, and whether it is new: the same once more changes nothing.

    Raises
    ------
    Invalid
        If it would hold nothing.
    Conflict
        If another database has the name.
    """
    definition = canonical(asked, "definition", LARGEST_DEFINITION)
    found = Database.objects.filter(name=name).first()
    if found is None:
        until = stream.head if asked["until"] is None else asked["until"]
        retraction = Retraction.objects.filter(stream=stream).aggregate(last=Max("pk"))["last"] or 0
        selected = select(stream.pk, definition_of(asked), until, retraction)
        if not selected:
            raise Invalid(
                f"no observation up to number {until} of a cell of stream {stream.name} is selected: "
                f"GET /api/v1/streams/{stream.name}/cells/ lists the cells with their compositions and types",
                code="empty",
            )
        fingerprint = exporting.fingerprint(stream.pk, selected)
        try:
            with transaction_for_writing():
                made = Database.objects.create(
                    name=name,
                    stream=stream,
                    asked=definition,
                    until=until,
                    retraction=retraction,
                    counts=text(counts(selected)),
                    fingerprint=fingerprint,
                    created_by=created_by,
                    owner_id=owner_id,
                )
                changes.tell("database.create", name, after=told(made))
            return made, True
        except IntegrityError:  # another request was first
            found = Database.objects.select_related("stream").get(name=name)
    if found.asked != definition:
        raise Conflict(
            f"the name {shown(name)} is taken: a database never changes, so choose another name for another one",
            field="name",
            code="name_taken",
        )
    return found, False


def told(database: Database) -> dict[str, Any]:
    """What the audit trail says of a database."""
    return {**loads(database.asked), "until": database.until, "fingerprint": database.fingerprint}


def find(name: Any) -> Database:
    """The database of that name, with its stream.

    Raises
    ------
    NotFound
        If there is none.
    """
    known = isinstance(name, str) and "\x00" not in name
    found = Database.objects.select_related("stream").filter(name=name).first() if known else None
    if found is None:
        raise NotFound(f"no database named {shown(name)}", field="database")
    return found


def selected(database: Database) -> list[Selected]:
    """Its observations, by number."""
    return select(database.stream_id, definition_of(loads(database.asked)), database.until, database.retraction)


def described(database: Database, stream: Stream) -> dict[str, Any]:
    """A database as the API shows it."""
    asked = loads(database.asked)
    found = loads(database.counts)
    by_type = {kind: sum(of_type.values()) for kind, of_type in found.items()}
    return {
        "name": database.name,
        "stream": stream.name,
        "descriptor": stream.descriptor,
        **{field: asked[field] for field in Definition._fields},
        "until": database.until,
        "counts": {"observations": sum(by_type.values()), "types": by_type, "compositions": found},
        "fingerprint": database.fingerprint,
        "created_at": database.created_at,
        "created_by": database.created_by,
    }
