"""Access declarations: the permission that each method of a view needs. The URL configuration declares them."""

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"
"""In place of a permission: anyone, without a credential."""

API_PREFIXES = ("/api/", "/metrics", "/invocations", "/v2")
"""Path prefixes of the APIs, whose callers send a credential in a header. All other paths are pages."""

SIGNED_IN = "signed in"
"""In place of a permission: anyone with a valid credential, whatever their role."""


def allow(view: View, *, hot: bool = False, watches: bool = False, **methods: str) -> View:
    """Declare the permission that each method of a view needs. Methods that aren't declared are refused.

    Parameters
    ----------
    hot
        POST compares the caller's generation itself, in the query that it needs anyway
        (:func:`server.api.caller.confirm`). So the guard needs no query.
    watches
        The view is for monitoring: if the database is down, the guard uses the cached caller.
    methods
        Method in lower case to a permission of :class:`server.accounts.models.Access`, :data:`PUBLIC` or
        :data:`SIGNED_IN`.

    Raises
    ------
    ValueError
        If the same view is declared differently at another path: one declaration would count for both.
    """
    declared = {method.upper(): needed for method, needed in methods.items()}, hot, watches
    if getattr(view, "declared", declared) != declared:
        raise ValueError(f"{view.__qualname__} is declared twice: as {view.declared} and as {declared}")  # type: ignore[attr-defined]
    view.declared = declared  # type: ignore[attr-defined]
    view.access, view.is_hot, view.watches = declared  # type: ignore[attr-defined]
    return view
