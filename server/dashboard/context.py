"""What every page shows of its visitor."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from server.accounts import oidc, sessions


def visitor(request: HttpRequest) -> dict[str, Any]:
    """``path``: where they are; ``who``: the :class:`server.accounts.identity.Identity` of who is signed in, if anybody is; ``is_open``: nobody needs to
    be; ``issuer``: what the button to sign in by OpenID Connect says, if people can.

    Pages for everybody look up who is signed in only where they show it.
    """
    is_open = settings.TAILRACE.auth == "open"
    known = getattr(request, "identity", None)
    return {
        "path": request.path,
        "is_open": is_open,
        "issuer": settings.TAILRACE.oidc_name if oidc.is_configured() else "",
        "who": known if is_open or known is not None else SimpleLazyObject(lambda: sessions.identity(request)),
    }
