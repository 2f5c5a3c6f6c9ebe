"""The addresses of the server, and two that fail with a credential in their hands."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from server.accounts.access import PUBLIC, allow
from server.urls import handler400, handler404, handler500, urlpatterns  # noqa: F401


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"no use for {request.META.get('HTTP_AUTHORIZATION')} and {request.COOKIES}")


urlpatterns = [path("api/fail/", allow(fail, get=PUBLIC)), path("fail/", allow(fail, get=PUBLIC)), *urlpatterns]
