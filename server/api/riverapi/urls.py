"""Addresses of the riverapi protocol; those that load is made of come first."""

from django.urls import path

from server.api.riverapi import auth, hot, models
from server.api.riverapi.events import stream_events, stream_metrics
from server.api.riverapi.info import info
from server.api.riverapi.metrics import calls, metrics
from server.api.riverapi.request import methods

urlpatterns = [
    path("learn/", hot.learn),
    path("predict/", hot.predict),
    path("label/", hot.label),
    path("", methods(get=info)),
    path("auth/token/", auth.token),
    path("models/", methods(get=models.listing)),
    path("model/", methods(delete=models.delete)),
    path("model/download/<str:name>/", methods(get=models.download)),
    path("model/<str:name>/", methods(get=models.show, post=models.upload_unnamed)),
    path("model/<str:flavor>/<str:name>/", methods(post=models.upload)),
    path("metrics/", methods(get=metrics)),
    path("stats/", methods(get=calls)),
    path("stream/events/", methods(get=stream_events)),
    path("stream/metrics/", methods(get=stream_metrics)),
]
