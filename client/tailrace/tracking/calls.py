"""`never_raises`: calls of a training that note what goes wrong, instead of raising it."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Call = TypeVar("Call", bound=Callable[..., None])

__all__ = ["Problems", "never_raises"]


class Problems:
    """What could not be logged: how often, and the first reasons. The first is also a warning."""

    MOST = 20

    def __init__(self) -> None:
        self.count = 0
        self.reasons: list[str] = []

    def add(self, why: str) -> None:
        """Note a problem."""
        self.count += 1
        if why in self.reasons or len(self.reasons) >= self.MOST:
            return
        self.reasons.append(why)
        if len(self.reasons) == 1:
            self._warn(why)

    @staticmethod
    def _warn(why: str) -> None:
        from tailrace.tracking.warning import TrackingWarning
        from tailrace.transport.caller_warnings import warn

        try:
            warn(f"{why} (not logged; run.status() lists such problems)", TrackingWarning)
        except TrackingWarning:
            pass  # the training turned warnings into errors, and this must not end it


def never_raises(call: Call) -> Call:
    """Returns a method of an object with `_problems` that notes errors there instead of raising them."""

    @functools.wraps(call)
    def wrapper(self: Any, *given: Any, **named: Any) -> None:
        try:
            call(self, *given, **named)
        except Exception as error:
            self._problems.add(f"{call.__name__.lstrip('_')}: {type(error).__name__}: {error}")

    return wrapper  # type: ignore[return-value]
