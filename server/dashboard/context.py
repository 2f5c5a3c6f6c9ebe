"""Template context of all pages."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from server.accounts import oidc, sessions


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return the context of all pages.

    Returns
    -------
    dict
        ``path``: path of the page. ``caller``: the :class:`server.accounts.caller.Caller` who is signed in, or None; public
        pages read it only if they show it. ``is_open``: whether ``AUTH=open``. ``issuer``: name of the OpenID Connect issuer;
        empty if none is configured.
    """
    is_open = settings.TAILRACE.auth == "open"
    known = getattr(request, "caller", None)
    return {
        "path": request.path,
        "is_open": is_open,
        "issuer": settings.TAILRACE.oidc_name if oidc.is_configured() else "",
        "caller": known if is_open or known is not None else SimpleLazyObject(lambda: sessions.caller_of(request)),
    }
