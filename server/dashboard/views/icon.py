"""The icon that browsers ask for where no page names one: beside a badge, or an answer of the API."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static


def icon(request: HttpRequest) -> HttpResponse:
    """GET: where the icon is."""
    return redirect(static("dashboard/icon.svg"))
