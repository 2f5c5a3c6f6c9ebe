"""Bodies of feeds of experiments: what is asked for, and what is shown."""

from server.api import fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.tracking_bodies import KEY, UID, VALUE, time_ms
from server.tracking import feeds
from server.tracking.models import Feed, FeedPoint
from server.tracking.models.names import LONGEST_KEY

WHICH = "Which value of the metric: the last, the least (min) or the largest (max)"
TARGET = "Metric that is the target; null: the wall time, s"
NUMBER_OR_TEXT = (
    {"type": "number", "minimum": -fields.LARGEST_NUMBER, "maximum": fields.LARGEST_NUMBER},
    {"type": "boolean"},
    VALUE,
)


class NewFeedSerializer(RequestSerializer):
    stream = fields.Name(None, "Name of the stream")
    params = fields.Map(
        fields.Choice(Feed.KINDS),
        "Params that are the features, with their kinds",
        names=KEY,
        min_length=1,
        max_length=feeds.MOST_PARAMS,
    )
    metric = fields.Text(TARGET, max_length=LONGEST_KEY, min_length=1, required=False, allow_null=True, default=None)
    value = fields.Choice(Feed.VALUES, WHICH, required=False, default=Feed.LAST)
    backfill = fields.Flag("Whether runs that have finished already are posted, too", required=False, default=True)


class FeedRunsSerializer(Serializer):
    due, posted, left_out = fields.Count(), fields.Count(), fields.Count()


class FeedSerializer(Serializer):
    stream = fields.Text()
    params = fields.Map(fields.Choice(Feed.KINDS))
    metric, value = fields.Text(TARGET, allow_null=True), fields.Choice(Feed.VALUES, WHICH)
    target = fields.Text("The target in words")
    runs = FeedRunsSerializer()
    models = fields.Items(fields.Text(), "Models of the stream")
    trouble = fields.Text("Why it posts nothing now; empty: nothing is in its way")
    created_ms, created_by = time_ms(), fields.Text()


class FeedListSerializer(Serializer):
    feeds = fields.Items(FeedSerializer())


class FeedBackfillSerializer(Serializer):
    queued = fields.Count("Runs that are looked at now")


class FeedRunsQuery(QuerySerializer):
    state = fields.Choice(FeedPoint.STATES, "Only those in this state")
    limit = fields.Whole("Most runs", min_value=1, max_value=feeds.MOST_SHOWN, default=100)
    after = fields.Whole("`number` of the last one of the answer before", min_value=0, max_value=2**63 - 1, default=0)


class FedRunSerializer(Serializer):
    number, run, name = fields.Count(), UID, fields.Text()
    state = fields.Choice(FeedPoint.STATES)
    seq = fields.Count("Number of its observation", allow_null=True)
    reason = fields.Text("Why it is left out")


class FedRunListSerializer(Serializer):
    runs = fields.Items(FedRunSerializer())


class NewPredictionSerializer(RequestSerializer):
    params = fields.Map(
        fields.Described(NUMBER_OR_TEXT), "Params of the run, as it would log them", names=KEY, max_length=10_000
    )
    stream = fields.Name(None, "Only by models of this stream", required=False, allow_null=True, default=None)
    level = fields.Number(
        "Probability of the intervals", min_value=0.001, max_value=0.9999, required=False, default=0.95
    )


class RunPredictionSerializer(Serializer):
    model = fields.Text()
    prediction = fields.Field("As the model predicts it; null with an error")
    interval = fields.Field("[low, high], or null")
    at = fields.Count("The last observation that the model had learned", allow_null=True)
    error = fields.Text("Why there is no prediction")
    warnings = fields.Items(fields.Text(), "How the params differ from those of earlier runs")


class FeedPredictionSerializer(Serializer):
    stream, target, unit = fields.Text(), fields.Text("The target in words"), fields.Text()
    x = fields.Map(None, "Features; null with an error", allow_null=True)
    error = fields.Text("What is wrong with the params for this feed")
    models = fields.Items(RunPredictionSerializer())


class FeedPredictionListSerializer(Serializer):
    predictions = fields.Items(FeedPredictionSerializer())
