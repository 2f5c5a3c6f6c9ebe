"""Databases of interactions: named selections of observations that never change."""

from typing import Any

from django.db import IntegrityError
from django.db.models import Max

from server.cells import exporting
from server.cells.canonical_json import canonical
from server.cells.models import Database
from server.cells.selection import Definition, Selected, counts, definition_of, select
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid
from server.core.json_codec import dumps_text, loads
from server.core.validation import check_name, check_text, format_value, whole_as_int
from server.streams.models import Retraction, Stream

FIELDS = ("name", "stream", "compositions", "cells", "types", "seed", "until")
MOST_NAMES = 1000
LARGEST_SEED = 2**63 - 1
LARGEST_DEFINITION = 2**20


def asked_for(payload: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """Return the checked definition of a request, with defaults filled in.

    Raises
    ------
    Invalid
        If a field is invalid. The message names the field, its value and what was expected.
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
        raise Invalid(
            f"{field} is {format_value(value)}: expected null or a list of 1 to {MOST_NAMES} strings", field=field
        )
    for n, name in enumerate(value):
        check_text(name, f"{field}[{n}]", 200)
    return sorted(set(value))


def _types(value: Any, stream: Stream) -> dict[str, int | None] | None:
    if value is None:
        return None
    if type(value) is not dict or not 0 < len(value) <= MOST_NAMES:
        raise Invalid(
            f"types is {format_value(value)}: expected null, or an object of types with the most observations of each (null: all)",
            field="types",
        )
    if stream.segment is None:
        raise Invalid(f"types can't be selected: stream {stream.name} has no segment feature", field="types")
    for name in value:
        check_text(name, "types", 1000)
    return {
        name: None if most is None else _whole(most, f"types.{name}", 1, LARGEST_SEED) for name, most in value.items()
    }


def _whole(value: Any, field: str, least: int, most: int) -> int:
    value = whole_as_int(value)
    if type(value) is not int or not least <= value <= most:
        raise Invalid(f"{field} is {format_value(value)}: expected a whole number from {least} to {most}", field=field)
    return value


def create(
    name: str, asked: dict[str, Any], stream: Stream, *, created_by: str = "", owner_id: int | None = None
) -> tuple[Database, bool]:
    """Create a database: select from the current log, and store the definition.

    Parameters
    ----------
    name, asked
        Name, and the definition from :func:`asked_for`.

    Returns
    -------
    database, created
        The database, and whether it is new. A repeated request changes nothing.

    Raises
    ------
    Invalid
        If the selection is empty.
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
                f"the selection is empty: no observation up to number {until} of the cells of stream {stream.name} matches. "
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
                    counts=dumps_text(counts(selected)),
                    fingerprint=fingerprint,
                    created_by=created_by,
                    owner_id=owner_id,
                )
                audit_signals.send("database.create", name, after=audit_entry(made))
            return made, True
        except IntegrityError:  # another request was first
            found = Database.objects.select_related("stream").get(name=name)
    if found.asked != definition:
        raise Conflict(
            f"the name {format_value(name)} is taken by another database, and databases never change: choose another name",
            field="name",
            code="name_taken",
        )
    return found, False


def audit_entry(database: Database) -> dict[str, Any]:
    """Return a database as the audit trail records it."""
    return {**loads(database.asked), "until": database.until, "fingerprint": database.fingerprint}


def find(name: Any) -> Database:
    """Return the database with this name, with its stream loaded.

    Raises
    ------
    NotFound
        If there is none.
    """
    return find_by_name(Database.objects.select_related("stream"), name, "no database named {name}", field="database")


def selected(database: Database) -> list[Selected]:
    """Return the observations of a database, by number."""
    return select(database.stream_id, definition_of(loads(database.asked)), database.until, database.retraction)


def described(database: Database, stream: Stream) -> dict[str, Any]:
    """Return a database as the API shows it."""
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
