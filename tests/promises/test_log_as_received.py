"""The log holds what was received, and each model sees it, whatever another model does to its input."""

import contextlib
import io
import json

import pytest
from django.core.management import call_command
from river import compose, linear_model

from server.core.errors import Invalid, TooLarge
from server.learning import registry
from server.learning.fold.replica_set import SETS
from server.learning.pickles import loader
from server.learning.predictions import predict_points
from server.learning.verification import Differs, verify
from server.learning.write_path import learn_points
from server.streams import integrity, log
from server.streams import registry as streams
from server.streams.models import Batch, FeatureName, Stream
from server.streams.points import Note, Point
from tests.learning.admitted import examples

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

POINT = {"size": 3, "b": 1}


def renamer():
    return compose.Renamer({"size": "zzz"}) | linear_model.LinearRegression()


@pytest.fixture
def stream():
    return streams.create("s", target_kind="number").pk


def logged(stream_id):
    return [x for span in log.spans(stream_id, 0) for x in span.xs]


def test_a_model_that_renames_its_input_changes_neither_the_log_nor_what_others_see(stream):
    registry.create("renames", "s", "regression", renamer())
    registry.create("plain", "s", "regression", linear_model.LinearRegression())
    learn_points.learn(stream, [Point(POINT, 7), Point(dict(POINT, size=4), 8, Note(key="k"))])
    assert logged(stream) == [POINT, {"size": 4, "b": 1}]
    alone = linear_model.LinearRegression()
    for size, y in ((3, 7), (4, 8)):
        alone.learn_one({"size": size, "b": 1}, y)
    assert predict_points.predict("plain", [POINT]).predictions == [alone.predict_one(POINT)]
    for name in ("renames", "plain"):
        verify(registry.Model.objects.select_related("stream").get(name=name))


def test_no_admitted_estimator_changes_the_log_or_what_its_caller_gave(stream):
    """All at once on one stream: whatever each does to its input, it does to a mapping of its own."""
    given = [{"a": float(n), "b": 2.0 * n, "c": f"word{n % 3}"} for n in range(4)]
    points = [Point(dict(x), float(n)) for n, x in enumerate(given)]
    made = 0
    for initial in examples().values():
        estimator = loader.load_state(initial)
        if hasattr(estimator, "predict_one") and hasattr(estimator, "learn_one"):
            with contextlib.suppress(Invalid):  # of another kind of task
                registry.create(f"m{made}", "s", "custom", estimator)
                made += 1
    assert made >= 30
    registry.create("mean", "s", "regression", compose.Select("a") | linear_model.LinearRegression())
    learn_points.learn(stream, points)
    assert logged(stream) == given
    assert [point.x for point in points] == given


def test_each_batch_has_a_checksum_of_what_was_received(stream):
    learn_points.learn(stream, [Point({"a": n}, n) for n in range(1200)])
    assert [batch.checksum is not None for batch in Batch.objects.all()] == [True] * 3
    assert list(integrity.examine(Stream.objects.get())) == []
    batch = Batch.objects.order_by("last").first()
    Batch.objects.filter(pk=batch.pk).update(xs=batch.xs.replace('{"a":7}', '{"b":7}'))
    (found,) = integrity.examine(Stream.objects.get())
    assert (found.first, found.last, found.certain) == (1, 500, True)


def test_verify_model_and_verify_log_find_a_log_that_was_changed(stream, capsys):
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    learn_points.learn(stream, [Point({"a": 1.0}, 2.0)])
    said = io.StringIO()
    call_command("verify_log", stdout=said)
    assert said.getvalue() == "s: verified: 1 observations, 0 not as received, 0 in doubt\n"
    Batch.objects.update(ys="[3.0]")
    with pytest.raises(Differs, match="observations 1 to 1: their checksum"):
        verify(registry.Model.objects.select_related("stream").get(name="m"))
    with pytest.raises(SystemExit):
        call_command("verify_log", "s", stdout=said)
    assert "s: DAMAGED: 1 observations, 1 not as received, 0 in doubt" in said.getvalue()


def test_verify_log_names_what_an_older_version_may_have_stored_wrong(stream):
    """Rows of before there were checksums, beside a model that changes its input; and what a declared stream can't hold."""
    registry.create("renames", "s", "regression", renamer())
    registry.create("plain", "s", "regression", linear_model.LinearRegression())
    declared = streams.create("declared", target_kind="number", features={"size": "number", "b": "number"})
    for stream_id in (stream, declared.pk):
        learn_points.learn(stream_id, [Point(POINT, 7.0)])
    Batch.objects.update(xs=json.dumps([{"b": 1, "zzz": 3}]), checksum=None)
    said = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_log", stdout=said)
    lines = said.getvalue().splitlines()
    assert "declared: DAMAGED: 1 observations, 1 not as received, 0 in doubt" in lines
    assert "  1 to 1: their features are not those that the stream declares" in lines
    assert "s: in doubt: 1 observations, 0 not as received, 1 in doubt" in lines


def test_a_log_that_was_thinned_out_keeps_its_checksums(stream):
    learn_points.learn(stream, [Point({"a": n}, n) for n in range(100)])
    call_command("retain", "s", before=50, thin=10, yes=True)
    assert list(integrity.examine(Stream.objects.get())) == []


def test_a_stream_has_a_limited_number_of_features_in_all(stream, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_stream_features": 5})
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    learn_points.learn(stream, [Point({"a": 1.0, "b": 2.0}, 1.0)])
    SETS.clear()  # another process
    learn_points.learn(stream, [Point({"c": 1.0, "d": 2.0}, 1.0)])
    with pytest.raises(
        TooLarge, match=r"would have 6 features in all: at most 5 are allowed \(TAILRACE_MAX_STREAM_FEATURES\)"
    ):
        learn_points.learn(stream, [Point({"e": 1.0, "f": 2.0}, 1.0)])
    learn_points.learn(stream, [Point({"a": 1.0, "e": 2.0}, 1.0)])
    assert sorted(FeatureName.objects.values_list("name", flat=True)) == ["a", "b", "c", "d", "e"]
    assert len(logged(stream)) == 3


def test_what_has_no_form_in_json_is_refused_before_it_joins_what_others_send(stream):
    with pytest.raises(Invalid, match=r"JSON can.t represent"):
        learn_points.learn(stream, [Point({"a": "\ud800"}, 1.0)])
    assert logged(stream) == []
