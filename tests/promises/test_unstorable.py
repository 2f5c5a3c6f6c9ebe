"""A model whose state can't be stored is stopped, and harms nobody; one whose trees are deep is stored."""

import io
import pickle

import pytest
from django.core.management import call_command
from river import base, linear_model, tree

from server.core.errors import Conflict
from server.learning import inspection, quarantine, registry
from server.learning.background import maintenance
from server.learning.fold.replay import Unstorable
from server.learning.models import Model
from server.learning.pickles import loader
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.points import Point

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

DEEP = 5000


class Deep(base.Regressor):
    """Holds objects that hold one another, one more a point; fails half-way on a point that says so."""

    def __init__(self):
        self.chain = ()

    def predict_one(self, x):
        return 1.0

    def learn_one(self, x, y):
        for _ in range(int(x.get("deeper", 0))):
            self.chain = (self.chain,)
        if "fail" in x:
            raise ValueError("half-way")


@pytest.fixture
def stream(settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_modules": __name__})
    stream = streams.create("s", target_kind="number")
    registry.create("good", "s", "regression", linear_model.LinearRegression())
    registry.create("deep", "s", "custom", Deep())
    learn(stream, {"a": 1.0})
    return stream


def learn(stream, x, y=1.0):
    return learn_points.learn(stream.pk, [Point(x, y)])


def learn_many(stream):
    """So many that a fold looks at its state on the way."""
    learn_points.learn(stream.pk, [Point({"a": float(n)}, 1.0) for n in range(100)])


def status(name):
    return Model.objects.values_list("status", flat=True).get(name=name)


def is_stopped():
    quarantine.settle()
    model = registry.find("deep")
    assert model.status == Model.QUARANTINED
    assert "can't be stored (RecursionError" in model.error
    assert verify(registry.find("good"))["observations"] > 0
    return True


def test_it_is_stopped_when_its_snapshot_is_due(stream):
    learn(stream, {"a": 1.0, "deeper": DEEP})
    maintenance.write_due_snapshots(all_changed=True)
    assert is_stopped()
    assert list(learn(stream, {"a": 1.0}).predictions) == ["good"]


def test_a_point_that_it_fails_on_is_learned_by_the_others(stream):
    learn(stream, {"a": 1.0, "deeper": DEEP})
    assert list(learn(stream, {"a": 2.0, "fail": 1}).predictions) == ["good"]
    assert is_stopped()


def test_the_others_are_rebuilt_without_it(stream):
    for n in range(3):
        learn(stream, {"a": float(n), "deeper": DEEP})
    streams.retract(streams.find("s"), 2, "wrong", "")
    for _ in range(3):
        maintenance.rebuild_after_retractions()
    assert is_stopped()
    assert registry.find("good").generation == 2


def test_it_can_not_be_made_on_a_history_that_has_such_points(stream):
    learn_many(stream)
    learn(stream, {"a": 1.0, "deeper": DEEP})
    learn_many(stream)
    registry.create("late", "s", "custom", Deep())
    maintenance.work_on_backfills()
    model = registry.find("late")
    assert model.status == Model.FAILED
    assert "can't be stored" in model.error


def test_a_refold_and_a_verification_go_on_without_it(stream):
    learn(stream, {"a": 1.0, "deeper": DEEP})
    learn_many(stream)
    out, err = io.StringIO(), io.StringIO()
    call_command("refold", stdout=out, stderr=err)
    assert "deep: FAILED, and no longer predicts: model deep, after observation" in err.getvalue()
    assert "good: 102 logged predictions, equal bit for bit" in out.getvalue()
    assert "1 models are now folded" in out.getvalue()
    Model.objects.filter(name="deep").update(status=Model.READY)
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_model", "deep", "good", stdout=out)
    assert "deep: can't be verified" in out.getvalue()
    assert "good: verified: 102 observations" in out.getvalue()


def test_its_download_is_refused_in_a_sentence(stream):
    learn(stream, {"a": 1.0, "deeper": DEEP})
    with pytest.raises(Conflict, match="nested deeper than Python's pickle supports"):
        inspection.download("deep")
    learn_many(stream)
    with pytest.raises(Unstorable):
        inspection.state("deep", at=90)


GROWN = [
    (tree.HoeffdingTreeRegressor(grace_period=10**6), lambda n: float(n % 7)),
    (
        tree.HoeffdingTreeClassifier(grace_period=10**6, splitter=tree.splitter.ExhaustiveSplitter()),
        lambda n: f"{n % 3}",
    ),
]


@pytest.mark.parametrize("model, target", GROWN, ids=["regressor", "classifier"])
def test_a_tree_as_deep_as_it_has_nodes_is_stored_and_goes_on_alike(model, target):
    """A feature that only grows (a time, a number of a job) makes of its search tree a list."""
    model = model.clone()
    for n in range(3000):
        model.learn_one({"a": float(n)}, target(n))
    with pytest.raises(RecursionError):
        pickle.dumps(model)
    read = loader.load_state(loader.dump_state(model))
    for n in range(0, 3000, 7):
        for one in (model, read):
            one.learn_one({"a": float(-n)}, target(n))
    asked = [{"a": n / 10} for n in range(-3000, 3000, 11)]
    assert [model.predict_one(x) for x in asked] == [read.predict_one(x) for x in asked]
    assert sorted(nodes(model)) == sorted(nodes(read))


def nodes(model):
    """What each node of the search tree holds."""
    waiting = [next(iter(model._root.splitters.values()))._root]
    while waiting:
        node = waiting.pop()
        yield repr(
            {
                name: getattr(node, name)
                for name in node.__slots__
                if name not in ("_left", "_right", "_update_estimator")
            }
        )
        waiting += [child for child in (node._left, node._right) if child is not None]
