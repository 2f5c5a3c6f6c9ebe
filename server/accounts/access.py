"""Who may use an address: declared beside it in the URL configuration, looked up by the guard before the view runs."""

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"
"""Instead of a permission: anyone, without showing who they are."""

FOR_PROGRAMS = ("/api/", "/metrics", "/invocations")
"""How the addresses begin that are for programs, which show a credential in a header; the others are pages."""

SIGNED_IN = "signed in"
"""Instead of a permission: anyone whose credential holds, whatever their role."""


def allow(view: View, *, hot: bool = False, watches: bool = False, **methods: str) -> View:
    """Declare what each method of a view needs; one that isn't named is refused to everybody.

    Parameters
    ----------
    hot
        POST holds the caller against the generation that it reads with its own row (:func:`server.api.caller.confirm`),
        so that the guard need not ask the database for it.
    watches
        It is read to see what is wrong: where the database can't say who a caller is, what this process remembers of
        them counts.
    methods
        Method in lower case to a permission of :class:`server.accounts.models.Access`, :data:`PUBLIC` or
        :data:`SIGNED_IN`.

    Raises
    ------
    ValueError
        If another address declared something else for the same view, which would count for both.
    """
    declared = {method.upper(): needed for method, needed in methods.items()}, hot, watches
    if getattr(view, "declared", declared) != declared:
        raise ValueError(f"{view.__qualname__} is declared twice: as {view.declared} and as {declared}")  # type: ignore[attr-defined]
    view.declared = declared  # type: ignore[attr-defined]
    view.access, view.is_hot, view.watches = declared  # type: ignore[attr-defined]
    return view
