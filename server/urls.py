"""Every address of the server; the two that load is made of stand first, outside any prefix to be walked through."""

from django.conf import settings
from django.urls import include, path

from server.accounts.access import PUBLIC, allow
from server.api.front import home
from server.api.invocations import invocations
from server.api.riverapi import hot
from server.operations.health import healthz, ping, readyz
from server.operations.metrics import metrics

handler400 = "server.api.front.bad_request"
handler404 = "server.api.front.not_found"
handler500 = "server.api.front.failed"

who_may_watch = {"token": "read", "open": PUBLIC}
watching = [
    path("metrics", allow(metrics, watches=True, get=needed))
    for setting, needed in who_may_watch.items()
    if setting == settings.TAILRACE.metrics
]

urlpatterns = [
    path("api/learn/", allow(hot.learn, hot=True, post="learn")),
    path("api/predict/", allow(hot.predict, hot=True, post="predict")),
    path("api/v1/", include("server.api.v1.urls")),
    path("api/", include("server.api.riverapi.urls")),
    path("healthz", allow(healthz, get=PUBLIC)),
    path("readyz", allow(readyz, get=PUBLIC)),
    *watching,
    # SageMaker's contract
    path("ping", allow(ping, get=PUBLIC)),
    path("invocations", allow(invocations, hot=True, post="predict")),
    path("invocations/<str:name>", allow(invocations, hot=True, post="predict")),
    path("", allow(home, get=PUBLIC)),
    path("", include("server.dashboard.urls")),
]
