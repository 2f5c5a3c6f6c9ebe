"""Attachments: data that a request stores together with its points, and the checks on such requests."""

from collections.abc import Sequence
from typing import Protocol

from server.core.errors import Conflict
from server.core.validation import format_value
from server.streams.points import Points


class Attachment(Protocol):
    """Data that is stored with the points of one submission, in the same transaction and under the stream's lock.

    The thread of another request may call these methods, since one thread works for all that wait.

    Attributes
    ----------
    order
        Sort key. Attachments of one transaction are stored in this order, so that two transactions don't deadlock.
    """

    order: int

    def existing(self) -> Sequence[int] | None:
        """Return the numbers of its observations if it is stored already, in which case nothing is learned. None if it is new.

        Raises
        ------
        Conflict, Forbidden
            If other data has its name, or its owner's quota is used up. Nothing is learned.
        """

    def assign(self, seqs: Sequence[int]) -> None:
        """Set the numbers of its observations, which are learned and not stored yet."""

    def store(self) -> None:
        """Store it. If this raises an error, the transaction is rolled back, and this method may be called again.

        Raises
        ------
        Conflict, Forbidden
            If its owner's quota is used up. The other submissions are learned without it.
        """

    def audit(self) -> None:
        """Report the change to the audit trail (:mod:`server.core.audit_signals`), at the end of the transaction."""


def descriptor_conflict(expected: str | None, named: str | None) -> Conflict:
    """Return the error for points whose descriptor is not the stream's."""
    if expected is None:
        return Conflict(
            f"descriptor is {format_value(named)}, but the stream has none: post without a descriptor, or to another stream",
            field="descriptor",
        )
    was = "is missing" if named is None else f"is {format_value(named)}"
    return Conflict(
        f"descriptor {was}: this stream's features are computed with {format_value(expected)}. Send only such features, and name "
        'the descriptor in the request: {"descriptor": …, "observations": […]}',
        field="descriptor",
    )


def check_keys_are_new(points: Points, known: dict[str, int]) -> None:
    """Check that all points are new: an attachment doesn't share observations with other data.

    Raises
    ------
    Conflict
        If a key names another observation already. The message names the key.
    """
    seen: set[str] = set()
    for index, note in points.notes.items():
        once = note.unique_key
        if once is not None and (once in known or once in seen):
            raise Conflict(
                f"observations[{index}].key is {format_value(note.key)}, which names another observation already",
                field=f"observations[{index}].key",
            )
        seen.add(once or "")
