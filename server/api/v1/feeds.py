"""Views of the native API for feeds: finished runs of an experiment as observations of a stream."""

from functools import partial
from typing import Any
from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.v1.experiments import OfTracking
from server.api.v1.feed_bodies import (
    FedRunListSerializer,
    FeedBackfillSerializer,
    FeedListSerializer,
    FeedPredictionListSerializer,
    FeedRunsQuery,
    FeedSerializer,
    NewFeedSerializer,
    NewPredictionSerializer,
)
from server.api.v1.view import created, operation
from server.core.errors import Forbidden, Invalid
from server.core.validation import check_text, format_value
from server.tracking import checks, experiments, feed_predictions, feeds
from server.tracking.models import Feed
from server.tracking.models.names import LONGEST_VALUE


class OfFeed(OfTracking):
    """Base of views of one feed."""

    path = {**OfTracking.path, "stream": fields.Text("Name of the stream", max_length=200, min_length=1)}

    def own_feed(self, request: Request, number: str, stream: str) -> Feed:
        """Return the feed if the caller may change its experiment."""
        return feeds.find(self.own(request, number), stream)


class Feeds(OfTracking):
    """The feeds of an experiment."""

    @operation("listFeeds", answers={200: FeedListSerializer})
    def get(self, request: Request, number: str) -> Response:
        """List the feeds of an experiment, with how many runs each has posted and left out."""
        return Response({"feeds": feeds.listing(experiments.by_number(number))})

    @operation("createFeed", NewFeedSerializer, answers={201: FeedSerializer}, errors=(409,))
    def post(self, request: Request, number: str) -> Response:
        """Have the finished runs of an experiment posted to a stream, each once: params are features, a metric or the wall time is the target.

        It takes the permission to change the experiment, and the one to post to streams.
        """
        found, asked = self.own(request, number), self.body(request)
        if not caller.may(request._request, "learn"):
            raise Forbidden(
                "a feed posts observations for you: this takes the permission to learn (of a token, its scope)"
            )
        stream = caller.stream(request._request, asked.pop("stream"))
        made = feeds.create(found, stream, asked.pop("params"), **asked, **caller.made_by(request._request))
        return created(
            feeds.described([made])[0], f"/api/v1/experiments/{found.pk}/feeds/{quote(made.stream_name, safe='')}/"
        )


class OneFeed(OfFeed):
    """One feed."""

    @operation("getFeed", answers={200: FeedSerializer})
    def get(self, request: Request, number: str, stream: str) -> Response:
        """Show the feed of an experiment to a stream."""
        return Response(feeds.described([feeds.find(experiments.by_number(number), stream)])[0])

    @operation("deleteFeed", answers={204: None})
    def delete(self, request: Request, number: str, stream: str) -> Response:
        """Delete a feed. What it has posted stays, and is not posted again by a feed that is made anew."""
        feeds.delete(self.own_feed(request, number, stream))
        return Response(status=204)


class BackfillFeed(OfFeed):
    """Posting of earlier runs."""

    @operation("backfillFeed", answers={200: FeedBackfillSerializer})
    def post(self, request: Request, number: str, stream: str) -> Response:
        """Post the runs, too, that finished before the feed was made, and look again at those that were left out."""
        return Response({"queued": feeds.backfill(self.own_feed(request, number, stream))})


class FeedRuns(OfFeed):
    """The runs of a feed."""

    @operation("listFeedRuns", answers={200: FedRunListSerializer}, query=FeedRunsQuery)
    def get(self, request: Request, number: str, stream: str) -> Response:
        """List runs of a feed: those that are due, posted, or left out, with the reason."""
        found, asked = feeds.find(experiments.by_number(number), stream), self.query
        return Response({"runs": feeds.runs_of(found, asked["state"], asked["limit"], asked["after"])})


class PredictRun(OfTracking):
    """Predictions before a run is submitted."""

    @operation("predictRun", NewPredictionSerializer, answers={200: FeedPredictionListSerializer}, errors=(503,))
    def post(self, request: Request, number: str) -> Response:
        """Predict a run from its params, by the models of the streams that the experiment feeds. Nothing is stored."""
        asked = self.body(request)
        found = feed_predictions.predict(
            experiments.by_number(number),
            _checked(asked["params"]),
            stream=asked["stream"],
            level=asked["level"],
            may_read=partial(caller.may, request._request, "read"),
        )
        return Response({"predictions": found})


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    for name, value in params.items():
        checks.key(name, f"key {format_value(name)} of params")
        if isinstance(value, str):
            check_text(value, f"params.{name}", LONGEST_VALUE)
        elif type(value) not in (int, float, bool):
            raise Invalid(
                f"params.{name} is {format_value(value)}: expected text, a number, true or false",
                field=f"params.{name}"[:200],
            )
    return params
