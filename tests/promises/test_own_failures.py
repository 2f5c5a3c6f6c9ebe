"""A model's own failure is no fault of the point: it stays in the log, whoever else is on the stream, and a replay skips it too."""

import pytest
from numpy.linalg import LinAlgError
from river import base, linear_model, tree

from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.background import maintenance
from server.learning.fold.replica_set import SETS
from server.learning.predictions import predict_points
from server.learning.verification import verify
from server.learning.write_path import learn_points
from server.streams import log
from server.streams import registry as streams
from server.streams.points import Note, Point
from tests.promises.test_odd_models import PanicException

pytestmark = pytest.mark.django_db(transaction=True)

OWN = {
    "overflow": OverflowError(34, "Numerical result out of range"),
    "division": ZeroDivisionError("float division by zero"),
    "domain": ValueError("math domain error"),
    "no number": ValueError("cannot convert float NaN to integer"),
    "infinite": ValueError("array must not contain infs or NaNs"),
    "singular": LinAlgError("Singular matrix"),
    "code": IndexError("list index out of range"),
    "panic": PanicException("attempt to subtract with overflow"),
}
OF_THE_POINT = {
    "text": TypeError("unsupported operand type(s) for -: 'str' and 'float'"),
    "missing": KeyError("b"),
    "value": ValueError("a run time is a finite number of seconds, at least 0; got -1.0"),
}


class Failing(base.Regressor):
    """Raises what ``x["do"]`` names, where it says so, after it may have changed."""

    def __init__(self):
        self.learned = 0

    def learn_one(self, x, y):
        self.learned += 1
        self._do(x, "learn")

    def predict_one(self, x):
        self._do(x, "predict")
        return float(self.learned)

    def _do(self, x, when):
        if x["do"].startswith(when):
            raise {**OWN, **OF_THE_POINT}[x["do"].partition(" ")[2]]


@pytest.fixture
def failing(monkeypatch, settings):
    monkeypatch.setitem(globals(), "Failing", Failing)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"trusted_modules": __name__})
    streams.create("s", target_kind="number")
    return registry.create("only", "s", "custom", Failing()).stream_id


def point(do="nothing", key=None):
    return Point({"a": 1.0, "do": do}, 2.0, None if key is None else Note(key=key))


@pytest.mark.parametrize("when", ["predict", "learn"])
@pytest.mark.parametrize("why", OWN)
def test_the_streams_only_model_skips_it_and_the_log_keeps_it(failing, why, when):
    learn_points.learn(failing, [point()] * 3)
    receipt = learn_points.learn(failing, [point(), point(f"{when} {why}", "k"), point()])
    assert list(receipt.seqs) == [4, 5, 6]
    assert set(receipt.errors["only"]) == {1}
    assert learn_points.learn(failing, [point(f"{when} {why}", "k")]).seqs == [5]
    assert [y for span in log.spans(failing, 0) for y in span.ys] == [2.0] * 6
    state = inspection.state("only")
    assert (state["learned"], state["skipped"], state["last_skip"]["seq"]) == (5, 1, 5)
    assert predict_points.predict("only", [point().x]).predictions == [5.0]
    SETS.clear()
    assert inspection.state("only") == state
    assert verify(registry.Model.objects.get(name="only"))["predictions"] == 6
    registry.create("late", "s", "regression", linear_model.LinearRegression())
    maintenance.work_on_backfills()
    assert inspection.state("late")["at"] == 6


@pytest.mark.parametrize("why", OF_THE_POINT)
def test_a_point_whose_form_its_only_model_does_not_admit_is_refused(failing, why):
    learn_points.learn(failing, [point()])
    with pytest.raises(Invalid, match="every model on the stream refuses") as caught:
        learn_points.learn(failing, [point(f"learn {why}")])
    assert caught.value.code == "refused"
    assert inspection.state("only")["at"] == 1


def test_it_is_kept_where_one_model_fails_by_itself_and_the_other_one_refuses_it(failing):
    registry.create("picky", "s", "regression", linear_model.LinearRegression())
    receipt = learn_points.learn(failing, [point("predict division")])
    assert {name: errors[0].partition(":")[0] for name, errors in receipt.errors.items()} == {
        "only": "ZeroDivisionError",
        "picky": "TypeError",
    }
    assert list(receipt.seqs) == [1]


def test_asking_it_says_that_the_model_failed(failing):
    for do, code in (("predict overflow", "model_failed"), ("predict text", "refused")):
        with pytest.raises(Invalid, match="model only can't predict x") as caught:
            predict_points.predict("only", [point(do).x])
        assert caught.value.code == code


def test_a_tree_whose_arithmetic_overflows_on_extreme_numbers_goes_on():
    streams.create("s", target_kind="category")
    made = registry.create("htc", "s", "multiclass", tree.HoeffdingTreeClassifier(leaf_prediction="nb"))
    for n in range(20):
        learn_points.learn(made.stream_id, [Point({"tiny": 1e-300 * n, "huge": 1e300 * n}, "abc"[n % 3])])
    state = inspection.state("htc")
    assert state["at"] == 20
    assert "OverflowError" in state["last_skip"]["reason"]
    assert state["learned"] + state["skipped"] == 20
    SETS.clear()
    assert verify(registry.Model.objects.get(name="htc"))["observations"] == 20
