"""HTTP headers of pages, besides the content security policy and those that Django's middleware sets."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.dashboard import pacing

PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi",
        "payment", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip
"""Browser features that the pages don't use."""


class PageHeaders:
    """Middleware that denies browser features to pages and keeps pages out of caches, because they are personal.

    Scripts that ask for news learn how long to wait before they ask again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers["Permissions-Policy"] = PERMISSIONS
        response.headers.setdefault("Cache-Control", "no-store")
        if (waited := request.headers.get(pacing.HEADER)) is not None:
            response.headers[pacing.HEADER] = str(pacing.PACE.next_wait(waited))
        return response
