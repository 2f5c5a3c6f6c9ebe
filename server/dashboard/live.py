"""Parts of pages that scripts load again and again."""

import hashlib
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

HEADER = "X-Tailrace-Version"
"""Header with the version of the part that the browser shows."""


def is_part(request: HttpRequest) -> bool:
    """Whether a script asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def version(*shown: Any) -> str:
    """Return a version of what a part shows: it differs if anything of that differs."""
    return hashlib.blake2b(repr(shown).encode(), digest_size=12).hexdigest()


def unchanged(request: HttpRequest, current: str) -> HttpResponse | None:
    """Return an empty response if the browser shows this version already, else None. It costs no rendering."""
    if is_part(request) and request.headers.get(HEADER) == current:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return None
