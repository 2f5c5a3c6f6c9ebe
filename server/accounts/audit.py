"""The audit trail: every change and its author, in a chain of hashes that reveals removed and altered entries.

An entry is written in the transaction of its change, so neither exists without the other. Database triggers refuse to alter
or delete entries (see the migrations). :func:`verify` detects it if somebody bypassed them.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from server.accounts import addresses, current_request
from server.accounts.models import AuditEntry, AuditHead
from server.core.db.locks import transaction_for_writing
from server.core.json_codec import dumps

HASHED = (
    "number", "at", "user_id", "username", "token_id", "address", "request_id", "action", "target", "before", "after",
    "previous",
)  # fmt: skip
"""Columns that an entry's hash covers, in this order, as a JSON array in UTF-8."""

COMMAND = "(command line)"
"""User name in entries that no request caused."""


def record(sender: Any, action: str, target: str, before: Any, after: Any, **kwargs: Any) -> None:
    """Append an entry for a change, inside its transaction. Receives the signal of :mod:`server.core.audit_signals`."""
    request = current_request.request.get()
    caller = getattr(request, "caller", None)
    entry = AuditEntry(
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        user_id=None if caller is None else caller.user_id,
        username=caller.username if caller is not None else COMMAND if request is None else "",
        token_id=None if caller is None else caller.token_id or None,
        address="" if request is None else addresses.client_address(request),
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
    """Return the SHA-256, in hex, of the columns in :data:`HASHED`."""
    return hashlib.sha256(dumps([getattr(entry, name) for name in HASHED])).hexdigest()


def verify() -> Iterator[str]:
    """Yield the errors of the trail, in its order; nothing if it is intact."""
    number, previous = 0, ""
    rest = entries = AuditEntry.objects.order_by("number")
    while True:
        begun = number
        for entry in rest.iterator(chunk_size=2000):
            if entry.number != number + 1:
                yield f"entries {number + 1} to {entry.number - 1} are missing"
            elif entry.previous != previous:
                yield f"entry {entry.number} doesn't match the previous entry: one of them was replaced"
            if entry.hash != hash_of(entry):
                yield f"entry {entry.number} was altered ({entry.at}, {entry.action} {entry.target})"
            number, previous = entry.number, entry.hash
        head = AuditHead.objects.filter(pk=1).first()
        if head is not None and (head.number, head.hash) == (number, previous):
            return
        if rest is not entries and number == begun:
            break
        rest = entries.filter(number__gt=number)  # entries that were added in the meantime
    expected = "nothing" if head is None else f"entry {head.number} with hash {head.hash[:12]}…"
    yield f"the trail ends with entry {number}, but the last one written is {expected}"


def as_dict(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as the API and the export show it."""
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
