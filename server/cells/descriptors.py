"""Descriptor definitions: stored once under a name, and the same for ever."""

from typing import Any

from django.db import IntegrityError

from server.cells.canonical import canonical, fingerprint
from server.cells.models import Descriptor
from server.streams import changes
from server.streams.codec import loads
from server.streams.errors import Conflict, NotFound
from server.streams.locks import transaction_for_writing
from server.streams.validation import check_name, shown

LARGEST = 2**20
"""Bytes of a definition as canonical JSON."""


def create(name: Any, content: Any, created_by: str = "") -> tuple[Descriptor, bool]:
    """Store a definition.

    Returns
    -------
    descriptor, created
        The definition, and whether it is new: the same once more changes nothing.

    Raises
    ------
    Invalid, TooLarge
        If the name can't stand in an address, or the content is no object or too large.
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
                changes.tell("descriptor.create", name, after={"fingerprint": made.fingerprint})
            return made, True
        except IntegrityError:  # another request was first
            found = Descriptor.objects.get(name=name)
    if found.content != text:
        raise Conflict(
            f"descriptor {name} is another definition already (its fingerprint is {found.fingerprint[:12]}…, that of this "
            f"one {fingerprint(text)[:12]}…): a definition never changes, so choose another name for another one",
            field="name",
            code="name_taken",
        )
    return found, False


def find(name: Any, field: str = "descriptor") -> Descriptor:
    """The definition of that name.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = Descriptor.objects.filter(name=name).first() if isinstance(name, str) and "\x00" not in name else None
    if found is None:
        raise NotFound(f"no descriptor named {shown(name)}: POST it to /api/v1/descriptors/ first", field=field)
    return found


def listing() -> list[dict[str, Any]]:
    """All definitions by name, without their contents."""
    columns = ("name", "fingerprint", "created_at", "created_by")
    return list(Descriptor.objects.order_by("name").values(*columns))


def described(descriptor: Descriptor) -> dict[str, Any]:
    """A definition as the API shows it."""
    return {
        "name": descriptor.name,
        "fingerprint": descriptor.fingerprint,
        "created_at": descriptor.created_at,
        "created_by": descriptor.created_by,
        "content": loads(descriptor.content),
    }
