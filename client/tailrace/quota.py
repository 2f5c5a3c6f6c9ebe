"""What a server says with its answer where the caller is near a quota by it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HEADER", "near"]

HEADER = "x-tailrace-quota"


class _Shown:
    """How a person is told: the command sets its own way."""

    by: Callable[[str], None] | None = None


def near(url: str, said: str) -> None:
    """Warn that a quota is nearly used up, or is now."""
    message = f"{url}: a quota is used up, or nearly: {said}"
    if _Shown.by is not None:
        _Shown.by(message)
        return
    import warnings

    from tailrace.errors import QuotaWarning

    warnings.warn(message, QuotaWarning, stacklevel=2)


def show_by(say: Callable[[str], None]) -> None:
    """Have warnings shown by this function instead of by :mod:`warnings`."""
    _Shown.by = say
