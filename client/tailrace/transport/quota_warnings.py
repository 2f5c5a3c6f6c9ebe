"""Warnings that a quota is nearly used up, from a header of the server's responses."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.transport.endpoint import Endpoint

__all__ = ["HEADER", "warn_near_quota"]

HEADER = "x-tailrace-quota"


class _Shown:
    """The function that gets warnings, if `set_output` has set one."""

    by: Callable[[str], None] | None = None


def warn_near_quota(server: Endpoint, quota: str) -> None:
    """Warn that a quota is used up, or nearly. `quota` is the header's value, which names the quota."""
    message = f"{server.url}: a quota is used up, or nearly: {quota}"
    if _Shown.by is not None:
        _Shown.by(message)
        return
    from tailrace.errors import QuotaWarning

    server.warn(message, QuotaWarning)


def set_output(say: Callable[[str], None]) -> None:
    """Send warnings to a function instead of to :mod:`warnings`. The command ``tailrace`` does this."""
    _Shown.by = say
