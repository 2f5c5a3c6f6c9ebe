"""The slot of a response that takes long to send and occupies a thread meanwhile."""

from server.accounts import limits
from server.accounts.caller import Caller
from server.core.slots import Slots


class Slot:
    """The slot of one response. Release it when the response is sent or given up."""

    def __init__(self, slots: Slots, who: Caller | None) -> None:
        self._slots = slots
        self._key = None if who is None else limits.key(who)
        self._is_taken = False

    def take(self) -> None:
        """Take the slot, unless it is taken. Raises as :meth:`server.core.slots.Slots.take`."""
        if not self._is_taken:
            self._slots.take(self._key)
            self._is_taken = True

    def release(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._slots.release(self._key)

    __del__ = release
    """A response that can't be rendered is dropped without being closed."""
