"""Every address of the server, those that load is made of first."""

from django.urls import path

from server.api.riverapi import hot as riverapi
from server.api.v1 import hot as v1

urlpatterns = [
    path("api/learn/", riverapi.learn),
    path("api/predict/", riverapi.predict),
    path("api/label/", riverapi.label),
    path("api/v1/streams/<str:name>/observations/", v1.observe),
    path("api/v1/models/<str:name>/predict/", v1.predict),
    path("api/v1/predictions/<str:identifier>/label/", v1.label),
]
