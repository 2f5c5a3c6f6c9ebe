"""Descriptor definitions: named definitions of features that never change."""

from typing import Any

from django.db import IntegrityError

from server.cells.canonical_json import canonical, fingerprint
from server.cells.models import Descriptor
from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict
from server.core.json_codec import loads
from server.core.validation import check_name

LARGEST = 2**20
"""Bytes of a definition as canonical JSON."""


def create(name: Any, content: Any, created_by: str = "") -> tuple[Descriptor, bool]:
    """Store a definition.

    Returns
    -------
    descriptor, created
        The definition, and whether it is new. A repeated request changes nothing.

    Raises
    ------
    Invalid, TooLarge
        If the name can't be used in an address, or the content is not an object or too large.
    Conflict
        If another definition has the name.
    """
    check_name(name, "descriptor")
    text = canonical(content, "content", LARGEST)
    found = Descriptor.objects.filter(name=name).first()
    if found is None:
        try:
            with transaction_for_writing():
                made = Descriptor.objects.create(
                    name=name, content=text, fingerprint=fingerprint(text), created_by=created_by
                )
                audit_signals.send("descriptor.create", name, after={"fingerprint": made.fingerprint})
            return made, True
        except IntegrityError:  # another request was first
            found = Descriptor.objects.get(name=name)
    if found.content != text:
        raise Conflict(
            f"the name {name} is taken by another descriptor (fingerprint {found.fingerprint[:12]}…, and that of this "
            f"one is {fingerprint(text)[:12]}…), and descriptors never change: choose another name",
            field="name",
            code="name_taken",
        )
    return found, False


def find(name: Any, field: str = "descriptor") -> Descriptor:
    """Return the definition with this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    missing = "no descriptor named {name}: POST it to /api/v1/descriptors/ first"
    return find_by_name(Descriptor.objects.all(), name, missing, field=field)


def listing() -> list[dict[str, Any]]:
    """Return all definitions, sorted by name, without their contents."""
    columns = ("name", "fingerprint", "created_at", "created_by")
    return list(Descriptor.objects.order_by("name").values(*columns))


def described(descriptor: Descriptor) -> dict[str, Any]:
    """Return a definition as the API shows it."""
    return {
        "name": descriptor.name,
        "fingerprint": descriptor.fingerprint,
        "created_at": descriptor.created_at,
        "created_by": descriptor.created_by,
        "content": loads(descriptor.content),
    }
