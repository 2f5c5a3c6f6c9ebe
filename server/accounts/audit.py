"""The audit trail: every change, with who made it, in a chain of hashes that shows what was taken out or altered.

An entry is written in the transaction of the change that it tells of, so there is neither without the other. Triggers in the
database refuse to alter or delete one (see the migrations); :func:`verify` finds it where somebody got past them.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from server.accounts import actor, addresses
from server.accounts.models import AuditEntry, AuditHead
from server.streams.codec import dumps
from server.streams.locks import transaction_for_writing

HASHED = (
    "number", "at", "user_id", "username", "token_id", "address", "request_id", "action", "target", "before", "after",
    "previous",
)  # fmt: skip
"""What an entry's hash is over, in this order, as a JSON array in UTF-8."""

COMMAND = "(command line)"
"""Who is named for what no request did."""


def record(sender: Any, action: str, target: str, before: Any, after: Any, **kwargs: Any) -> None:
    """Append an entry for a change (:mod:`server.streams.changes`), inside its transaction."""
    request = actor.request.get()
    identity = getattr(request, "identity", None)
    entry = AuditEntry(
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        user_id=None if identity is None else identity.user_id,
        username=identity.username if identity is not None else COMMAND if request is None else "",
        token_id=None if identity is None else identity.token_id or None,
        address="" if request is None else addresses.of(request),
        request_id=getattr(request, "request_id", ""),
        action=action,
        target=target,
        before=None if before is None else dumps(before).decode(),
        after=None if after is None else dumps(after).decode(),
    )
    with transaction_for_writing():
        head, _ = AuditHead.objects.select_for_update().get_or_create(pk=1)
        entry.number, entry.previous = head.number + 1, head.hash
        entry.hash = hash_of(entry)
        entry.save(force_insert=True)
        head.number, head.hash = entry.number, entry.hash
        head.save()


def hash_of(entry: AuditEntry) -> str:
    """SHA-256, in hex, over the columns in :data:`HASHED`."""
    return hashlib.sha256(dumps([getattr(entry, name) for name in HASHED])).hexdigest()


def verify() -> Iterator[str]:
    """What is wrong with the trail, a line each, in its order; nothing if it is whole."""
    number, previous = 0, ""
    rest = entries = AuditEntry.objects.order_by("number")
    while True:
        begun = number
        for entry in rest.iterator(chunk_size=2000):
            if entry.number != number + 1:
                yield f"entries {number + 1} to {entry.number - 1} are missing"
            elif entry.previous != previous:
                yield f"entry {entry.number} doesn't follow the one before it: one of them was replaced"
            if entry.hash != hash_of(entry):
                yield f"entry {entry.number} was altered ({entry.at}, {entry.action} {entry.target})"
            number, previous = entry.number, entry.hash
        head = AuditHead.objects.filter(pk=1).first()
        if head is not None and (head.number, head.hash) == (number, previous):
            return
        if rest is not entries and number == begun:
            break
        rest = entries.filter(number__gt=number)  # it may have been written on meanwhile: then there are more now
    expected = "nothing" if head is None else f"entry {head.number} with hash {head.hash[:12]}…"
    yield f"the trail ends with entry {number}, where {expected} was written last"


def shown(entry: AuditEntry) -> dict[str, Any]:
    """An entry as the API and the export show it."""
    return {
        "number": entry.number,
        "at": entry.at,
        "user": entry.username,
        "token": entry.token_id,
        "address": entry.address,
        "request_id": entry.request_id,
        "action": entry.action,
        "target": entry.target,
        "before": None if entry.before is None else json.loads(entry.before),
        "after": None if entry.after is None else json.loads(entry.after),
        "hash": entry.hash,
    }
