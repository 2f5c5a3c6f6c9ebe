"""URLs of the server. The two most frequent ones come first, because Django tries them in order."""

from django.conf import settings
from django.urls import include, path

from server.accounts.access import PUBLIC, allow
from server.api.invocations import invocations
from server.api.mlflow.server_info import health, version
from server.api.open_inference.views import server as server_metadata
from server.api.riverapi import hot
from server.operations.health import healthz, live, ping, ready, readyz
from server.operations.metrics import metrics

handler400 = "server.api.fallback_errors.bad_request"
handler404 = "server.api.fallback_errors.not_found"
handler500 = "server.api.fallback_errors.failed"

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
    path("api/seed/", include("server.api.v1.seed")),
    path("api/", include("server.api.mlflow.urls")),
    path("api/", include("server.api.riverapi.urls")),
    path("healthz", allow(healthz, get=PUBLIC)),
    path("readyz", allow(readyz, get=PUBLIC)),
    *watching,
    # MLflow's
    path("health", allow(health, get=PUBLIC)),
    path("version", allow(version, get=PUBLIC)),
    # SageMaker's contract
    path("ping", allow(ping, get=PUBLIC)),
    path("invocations", allow(invocations, hot=True, post="predict")),
    path("invocations/<str:name>", allow(invocations, hot=True, post="predict")),
    path("v2/health/live", allow(live, get=PUBLIC)),
    path("v2/health/ready", allow(ready, get=PUBLIC)),
    path("v2", allow(server_metadata, get=PUBLIC)),
    path("v2/", include("server.api.open_inference.urls")),
    path("", include("server.dashboard.urls")),
]
