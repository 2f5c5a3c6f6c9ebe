"""What a server says with its answer where the caller is near a quota by it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.server import Server

__all__ = ["HEADER", "near"]

HEADER = "x-tailrace-quota"


class _Shown:
    """How a person is told: the command sets its own way."""

    by: Callable[[str], None] | None = None


def near(server: Server, said: str) -> None:
    """Warn that a quota is nearly used up, or is now."""
    message = f"{server.url}: a quota is used up, or nearly: {said}"
    if _Shown.by is not None:
        _Shown.by(message)
        return
    from tailrace.errors import QuotaWarning

    server.warn(message, QuotaWarning)


def show_by(say: Callable[[str], None]) -> None:
    """Have warnings shown by this function instead of by :mod:`warnings`."""
    _Shown.by = say
