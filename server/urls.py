"""Every address of the server."""

from django.urls import include, path

from server.api.front import healthz, home

handler400 = "server.api.front.bad_request"
handler404 = "server.api.front.not_found"
handler500 = "server.api.front.failed"

urlpatterns = [
    path("api/v1/", include("server.api.v1.urls")),
    path("api/", include("server.api.riverapi.urls")),
    path("healthz", healthz),
    path("", home),
]
