"""What a submission may bring besides its points, and what it has to be refused for."""

from collections.abc import Sequence
from typing import Protocol

from server.streams.errors import Conflict
from server.streams.log import Points
from server.streams.validation import shown


class Companion(Protocol):
    """What is stored with the points of one submission: in their transaction, under the stream's lock, or not at all.

    It may be asked by the thread of another request, which works for all that wait.

    Attributes
    ----------
    order
        Companions of one transaction come in this order: each may lock what others in other transactions lock.
    """

    order: int

    def known(self) -> Sequence[int] | None:
        """The numbers of its observations, if it was stored before: then nothing is learned; None if it is new.

        Raises
        ------
        Conflict, Forbidden
            If something else is in its place, or there may be no more of it; nothing is learned.
        """

    def take(self, seqs: Sequence[int]) -> None:
        """It belongs to observations of these numbers, which are learned and not stored yet."""

    def keep(self) -> None:
        """Store it, beside its observations. If it raises, everything is undone, and it may be tried again.

        Raises
        ------
        Conflict, Forbidden
            If there may be no more of it; the other submissions are learned without it.
        """

    def tell(self) -> None:
        """Tell of the change (:mod:`server.streams.changes`), at the end of the transaction."""


def other_descriptor(expected: str | None, named: str | None) -> Conflict:
    """Why points whose features are made by one definition aren't taken by a stream of another."""
    if expected is None:
        return Conflict(
            f"descriptor is {shown(named)}, but the stream was made without one: post without it, or to another stream",
            field="descriptor",
        )
    was = "is missing" if named is None else f"is {shown(named)}"
    return Conflict(
        f"descriptor {was}: the features of this stream are made by {shown(expected)}, and those of two definitions "
        'can\'t be mixed; a post says so beside its points, {"descriptor": …, "observations": […]}',
        field="descriptor",
    )


def check_keys_are_new(points: Points, known: dict[str, int]) -> None:
    """Refuse points of which one was there before: what is stored together has observations of its own.

    Raises
    ------
    Conflict
        Naming the key.
    """
    seen: set[str] = set()
    for index, note in points.notes.items():
        once = note.once
        if once is not None and (once in known or once in seen):
            raise Conflict(
                f"observations[{index}].key is {shown(note.key)}, which names another observation already",
                field=f"observations[{index}].key",
            )
        seen.add(once or "")
