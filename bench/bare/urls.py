"""One view, under both paths that the request rows post to."""

from django.urls import path

from bench.bare.views import answer

urlpatterns = [path("api/predict/", answer), path("api/learn/", answer)]
