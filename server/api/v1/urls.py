"""Addresses of the native API; those that load is made of come first."""

from django.urls import path

from server.api.v1 import hot
from server.api.v1.documents import Docs, Schema
from server.api.v1.events import Events
from server.api.v1.models import Download, History, Metrics, Models, OneModel, Recipes, Stats
from server.api.v1.observations import observations
from server.api.v1.streams import OneStream, Retract, Streams

urlpatterns = [
    path("streams/<str:name>/observations/", observations),
    path("models/<str:name>/predict/", hot.predict),
    path("predictions/<path:identifier>/label/", hot.label),
    path("streams/", Streams.as_view()),
    path("streams/<str:name>/", OneStream.as_view()),
    path("streams/<str:name>/observations/<str:seq>/retract/", Retract.as_view()),
    path("recipes/", Recipes.as_view()),
    path("models/", Models.as_view()),
    path("models/<str:name>/", OneModel.as_view()),
    path("models/<str:name>/download/", Download.as_view()),
    path("models/<str:name>/metrics/", Metrics.as_view()),
    path("models/<str:name>/history/", History.as_view()),
    path("models/<str:name>/stats/", Stats.as_view()),
    path("events/", Events.as_view()),
    path("schema/", Schema.as_view(), name="v1-schema"),
    path("docs/", Docs.as_view(), name="v1-docs"),
]
