"""Who may use an address: declared beside it in the URL configuration, looked up by the guard before the view runs."""

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"
"""Instead of a permission: anyone, without showing who they are."""

SIGNED_IN = "signed in"
"""Instead of a permission: anyone whose credential holds, whatever their role."""


def allow(view: View, *, hot: bool = False, **methods: str) -> View:
    """Declare what each method of a view needs; one that isn't named is refused to everybody.

    Parameters
    ----------
    hot
        POST holds the caller against the generation that it reads with its own row (:func:`server.api.caller.confirm`),
        so that the guard need not ask the database for it.
    methods
        Method in lower case to a permission of :class:`server.accounts.models.Access`, :data:`PUBLIC` or
        :data:`SIGNED_IN`.

    Raises
    ------
    ValueError
        If another address declared something else for the same view, which would count for both.
    """
    declared = {method.upper(): needed for method, needed in methods.items()}, hot
    if getattr(view, "declared", declared) != declared:
        raise ValueError(f"{view.__qualname__} is declared twice: as {view.declared} and as {declared}")  # type: ignore[attr-defined]
    view.declared = declared  # type: ignore[attr-defined]
    view.access, view.is_hot = declared  # type: ignore[attr-defined]
    return view
