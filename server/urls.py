"""Every address of the server; the two that load is made of stand first, outside any prefix to be walked through."""

from django.urls import include, path

from server.accounts.access import PUBLIC, allow
from server.api.front import healthz, home
from server.api.riverapi import hot

handler400 = "server.api.front.bad_request"
handler404 = "server.api.front.not_found"
handler500 = "server.api.front.failed"

urlpatterns = [
    path("api/learn/", allow(hot.learn, hot=True, post="learn")),
    path("api/predict/", allow(hot.predict, hot=True, post="predict")),
    path("api/v1/", include("server.api.v1.urls")),
    path("api/", include("server.api.riverapi.urls")),
    path("healthz", allow(healthz, get=PUBLIC)),
    path("", allow(home, get=PUBLIC)),
    path("", include("server.dashboard.urls")),
]
