"""Addresses of the native API, and who may use them; those that load is made of come first."""

from django.urls import path

from server.accounts.access import PUBLIC, allow
from server.api.v1 import hot
from server.api.v1.documents import Docs, Schema
from server.api.v1.events import Events
from server.api.v1.models import Download, History, Metrics, Models, OneModel, Recipes, Stats
from server.api.v1.observations import observations
from server.api.v1.streams import OneStream, Retract, Streams

urlpatterns = [
    path("streams/<str:name>/observations/", allow(observations, hot=True, post="learn", get="read")),
    path("models/<str:name>/predict/", allow(hot.predict, hot=True, post="predict")),
    path("predictions/<path:identifier>/label/", allow(hot.label, post="learn")),
    path("streams/", allow(Streams.as_view(), get="read", post="create")),
    path("streams/<str:name>/", allow(OneStream.as_view(), get="read", patch="change_own", delete="change_own")),
    path("streams/<str:name>/observations/<str:seq>/retract/", allow(Retract.as_view(), post="retract")),
    path("recipes/", allow(Recipes.as_view(), get="read")),
    path("models/", allow(Models.as_view(), get="read", post="create")),
    path("models/<str:name>/", allow(OneModel.as_view(), get="read", delete="change_own")),
    path("models/<str:name>/download/", allow(Download.as_view(), get="read")),
    path("models/<str:name>/metrics/", allow(Metrics.as_view(), get="read")),
    path("models/<str:name>/history/", allow(History.as_view(), get="read")),
    path("models/<str:name>/stats/", allow(Stats.as_view(), get="read")),
    path("events/", allow(Events.as_view(), get="read")),
    path("schema/", allow(Schema.as_view(), get=PUBLIC), name="v1-schema"),
    path("docs/", allow(Docs.as_view(), get=PUBLIC), name="v1-docs"),
]
