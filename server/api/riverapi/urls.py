"""Addresses of the riverapi protocol, with the permission that each needs. The most frequent ones come first."""

from django.urls import path

from server.accounts.access import PUBLIC, allow
from server.api.riverapi import auth, hot, models
from server.api.riverapi.events import stream_events, stream_metrics
from server.api.riverapi.info import info
from server.api.riverapi.metrics import calls, metrics
from server.api.riverapi.request import methods

urlpatterns = [
    path("learn/", hot.learn),
    path("predict/", hot.predict),
    path("label/", allow(hot.label, post="learn")),
    path("", allow(methods(get=info), get=PUBLIC)),
    path("auth/token/", allow(auth.token, get=PUBLIC)),  # the view checks the credentials itself
    path("models/", allow(methods(get=models.listing), get="read")),
    path("model/", allow(methods(delete=models.delete), delete="change_own")),
    path("model/download/<str:name>/", allow(methods(get=models.download), get="read")),
    path("model/<str:name>/", allow(methods(get=models.show, post=models.upload_unnamed), get="read", post="create")),
    path("model/<str:flavor>/<str:name>/", allow(methods(post=models.upload), post="create")),
    path("metrics/", allow(methods(get=metrics), get="read")),
    path("stats/", allow(methods(get=calls), get="read")),
    path("stream/events/", allow(methods(get=stream_events), get="read")),
    path("stream/metrics/", allow(methods(get=stream_metrics), get="read")),
]
