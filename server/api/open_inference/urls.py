"""Addresses of the Open Inference Protocol, with the permission that each needs."""

from django.urls import path

from server.accounts.access import allow
from server.api.open_inference import views

urlpatterns = [
    path("models/<str:name>/infer", allow(views.infer, hot=True, post="predict")),
    path("models/<str:name>/versions/<str:version>/infer", allow(views.infer, hot=True, post="predict")),
    path("models/<str:name>", allow(views.metadata, get="predict")),
    path("models/<str:name>/ready", allow(views.model_ready, get="predict")),
    path("models/<str:name>/versions/<str:version>", allow(views.metadata, get="predict")),
    path("models/<str:name>/versions/<str:version>/ready", allow(views.model_ready, get="predict")),
]
