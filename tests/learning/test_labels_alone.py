"""Classifiers that give labels and no probabilities, or say more than either: they are scored on what they say."""

import random

import pytest
from river import active, cluster, ensemble, linear_model, metrics, multiclass, naive_bayes, preprocessing, tree

from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams.points import Point

pytestmark = pytest.mark.django_db(transaction=True)


def one_versus_one():
    return preprocessing.StandardScaler() | multiclass.OneVsOneClassifier(linear_model.LogisticRegression())


def voting():
    return ensemble.VotingClassifier([linear_model.LogisticRegression(), naive_bayes.GaussianNB()])


def points(count, label):
    chance = random.Random(5)
    made = []
    for _ in range(count):
        x = {"a": chance.random(), "b": chance.randint(0, 3)}
        made.append(Point(x, label(x["a"] + x["b"] / 2)))
    return made


def kind(level):
    return "low" if level < 0.7 else "mid" if level < 1.4 else "high"


def is_low(level):
    return level < 1


def offline(estimator, made, kinds):
    """What plain river makes of the same points: labels, metrics of them."""
    labels = []
    for point in made:
        labels.append(estimator.predict_one(point.x))
        if labels[-1] or (labels[-1] is not None and len(labels) > 1):  # nothing learned, nothing said
            for metric in kinds:
                metric.update(point.y, labels[-1])
        estimator.learn_one(point.x, point.y)
    return labels, {type(metric).__name__: metric.get() for metric in kinds}


@pytest.mark.parametrize(
    ("make", "flavor", "label", "kinds"),
    [
        (one_versus_one, "multiclass", kind, [metrics.Accuracy(), metrics.MacroF1(), metrics.MicroRecall()]),
        (voting, "binary", is_low, [metrics.Accuracy(), metrics.Precision(), metrics.F1()]),
    ],
    ids=["one versus one", "voting"],
)
def test_labels_are_predicted_learned_and_scored_and_probabilities_are_not(make, flavor, label, kinds):
    made = points(60, label)
    model = registry.create("m", None, flavor, make())
    predictions = []
    for size in (1, 4, 55):
        group = made[len(predictions) : len(predictions) + size]
        receipt = learn_points.learn(model.stream_id, group)
        assert not receipt.errors
        predictions += receipt.predictions["m"]
    labels, expected = offline(make(), made, kinds)
    assert predictions == labels
    found = inspection.metrics("m")
    assert {name: found["metrics"][name] for name in expected} == expected
    assert not {"CrossEntropy", "LogLoss"} & set(found["metrics"])
    assert inspection.state("m")["learned"] == 60
    assert predict_points.predict("m", [made[0].x]).predictions[0] in {label(0), label(1), label(2)}
    SETS.clear()
    assert inspection.metrics("m") == found
    assert verify(registry.Model.objects.get(name="m"))["predictions"] == 60


def test_probabilities_are_scored_where_there_are_some():
    model = registry.create("m", None, "multiclass", naive_bayes.GaussianNB())
    learn_points.learn(model.stream_id, points(20, kind))
    assert inspection.metrics("m")["metrics"]["CrossEntropy"] > 0


@pytest.mark.parametrize(("flavor", "label"), [("multiclass", kind), ("binary", is_low)])
def test_one_that_says_whether_it_asks_for_the_label_is_scored_on_its_answer(flavor, label):
    def inner():
        return tree.HoeffdingTreeClassifier(grace_period=10)

    made = points(60, label)
    model = registry.create("m", None, flavor, active.EntropySampler(inner(), seed=1))
    registry.create("plain", model.stream.name, flavor, inner())
    for point in made:
        learn_points.learn(model.stream_id, [point])
        # A question that isn't in the log draws no random number from the fold.
        prediction = predict_points.predict("m", [point.x]).predictions[0]
        assert isinstance(prediction[1], bool)
    assert inspection.metrics("m")["metrics"] == inspection.metrics("plain")["metrics"]
    assert inspection.state("m")["skipped"] == 0
    SETS.clear()
    assert verify(registry.Model.objects.get(name="m"))["predictions"] == 60


def test_one_that_can_not_predict_at_all_is_refused_when_it_is_made():
    with pytest.raises(Invalid, match="does not implement") as caught:
        registry.create("m", None, "cluster", cluster.ODAC())
    assert caught.value.code == "not_servable"
    assert not registry.Model.objects.exists()
