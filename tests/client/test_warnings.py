"""What is said where a point differs from all that a stream has seen: in the prediction, by Python, by the commands."""

import json
import pickle
import warnings

import pytest
from tailrace import Client, PointWarning, Prediction, Predictions, PredictionWarning, Refused
from tailrace.walltime import wall_time

from tests.client.conftest import run_times
from tests.client.running import command

pytestmark = pytest.mark.one_database

LIKE = {"x": 8, "y": 16, "z": 8}
KIND = "x.y is 'foo': it has always been a number (seen: 1 to 20)"


@pytest.fixture(scope="module")
def model(served):
    """A model of run times, on a stream that declares no features."""
    client = Client(served.url, "")
    client.create_stream("undeclared", "loop_time", "s")
    client.create("free", "undeclared", "runtime")
    points = [{"x": dict.fromkeys("xyz", n), "y": 9.0 + n, "key": f"edge-{n}"} for n in (1, 20)] + run_times()
    assert served.post("/api/v1/streams/undeclared/observations/", {"observations": points})[0] == 201
    return client.model("free")


def asked(served, *arguments, **environ):
    return command(*arguments, environ={"TAILRACE_URL": served.url, **environ})


@pytest.fixture
def quiet():
    """Python's own warnings are looked at elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictionWarning)
        yield


def test_a_prediction_carries_and_shows_them(model, quiet):
    assert model.predict(LIKE).warnings == ()
    assert "warning" not in repr(model.predict(LIKE))
    found = model.predict(x=80, y=16)
    assert [(one.code, one.feature) for one in found.warnings] == [("missing_feature", "z"), ("outside", "x")]
    assert str(found.warnings[1]) == "x.x is 80: outside of what was seen (seen: 1 to 20)"
    first, *lines = repr(found).split("\n")
    assert first == found.line
    assert lines == [f"warning: {one.message}" for one in found.warnings]
    assert '<th style="text-align:left">warning</th>' in found._repr_html_()
    assert found + 1 == found.value + 1
    assert pickle.loads(pickle.dumps(found)) == found


def test_strict_refuses_and_names_all(model):
    with pytest.raises(Refused) as refusal:
        model.predict(x=8, y="foo", zz=1, strict=True)
    assert (refusal.value.status, refusal.value.code, refusal.value.field) == (400, "unfamiliar", "x.zz")
    for said in ("x.zz is 1: no observation has such a feature", KIND, "x.z is missing", "did you mean 'z'?"):
        assert said in str(refusal.value)
    with pytest.raises(Refused, match=r"xs\[1\]\.x is 80"):
        model.predict([LIKE, {**LIKE, "x": 80}], strict=True)
    assert model.predict(LIKE, strict=True).value == model.predict(LIKE).value


def test_python_warns_once_a_call_at_the_callers_line_and_only_once_in_a_loop(model):
    with pytest.warns(PredictionWarning) as said:
        model.predict([{**LIKE, "x": value} for value in (80, 90)])
    (one,) = said
    assert one.filename == __file__
    assert str(one.message) == (
        "model free predicted points that differ from its stream's observations: x is outside of what was seen (see .warnings)"
    )
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for value in range(100, 105):
            model.predict(LIKE, strict=False)
            model.predict({**LIKE, "x": value})
        wall_time(model, {**LIKE, "y": 99})
    assert [(one.category, one.filename) for one in shown] == [(PredictionWarning, __file__)] * 2


def test_each_of_many_points_has_its_own_and_a_frame_a_column(model, quiet, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("tailrace.handles.predictor.AT_ONCE", 3)
    frame = pandas.DataFrame({"x": [8, 80, 8, 8, 90], "y": [16, 16, None, 16, 16], "z": 8}, index=list("abcde"))
    found = model.predict(frame)
    assert [[one.code for one in point.warnings] for point in found] == [
        [], ["outside"], ["missing_feature"], [], ["outside"],
    ]  # fmt: skip
    outside = PointWarning("outside", "x", "x: outside of what was seen (seen: 1 to 20)")
    assert found[1].warnings == found[4].warnings == (outside,)
    assert {one.code for one in found.warnings} == {"missing_feature", "outside"}
    assert repr(found).endswith(
        "warning: y is missing: every observation has it (122 of 122, seen: 1 to 20) [1 of 5 points]"
    )
    assert "warning: x: outside of what was seen (seen: 1 to 20) [2 of 5 points]" in found._repr_html_()
    column = found.to_frame()["warnings"]
    assert list(column[column != ""].index) == ["b", "c", "e"]
    assert "warnings" not in model.predict(frame[:1]).to_frame()


def test_predict_says_them_on_standard_error_so_that_its_output_stays_as_it_is(served, model, tmp_path):
    done = asked(served, "predict", "free", "x=8", "y=foo", "z=1", PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, f"tailrace: warning: {KIND}\n")
    assert len(done.stdout.splitlines()) == 1
    done = asked(served, "predict", "free", "x=8", "y=foo", "z=1", "--json")
    (one,) = json.loads(done.stdout)["warnings"]
    assert one == {"code": "other_kind", "feature": "y", "message": KIND}
    done = asked(served, "predict", "free", "x=8", "y=foo", "z=1", "--strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert KIND in done.stderr
    (tmp_path / "jobs.csv").write_text("x,y,z\n" + "80,16,8\n" * 3 + "8,16,8\n")
    done = asked(served, "predict", "free", "--file", str(tmp_path / "jobs.csv"))
    assert done.stderr == "tailrace: warning: x: outside of what was seen (seen: 1 to 20) [3 of 4 points]\n"
    assert len(done.stdout.splitlines()) == 6
    assert asked(served, "predict", "free", "--file", str(tmp_path / "jobs.csv"), "--strict").returncode == 1
    done = asked(served, "predict", "free", "x=8", "y=16", "z=8", "--strict")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wall_time_is_printed_all_the_same(served, model, quiet):
    job = ["x=80", "y=16", "z=8", "node=gpu"]
    expected = wall_time(model, {"x": 80, "y": 16, "z": 8, "node": "gpu"})
    assert [one.code for one in expected.warnings] == ["unknown_feature", "outside"]
    for more in ([], ["--default", "1h"], ["--default", "1h", "--strict"]):
        done = asked(served, "walltime", "free", *job, *more, PYTHONWARNINGS="error")
        assert (done.returncode, done.stdout) == (0, f"{expected.written()}\n")
        assert done.stderr.splitlines() == [f"tailrace: warning: {one.message}" for one in expected.warnings]
    told = json.loads(asked(served, "walltime", "free", *job, "--json").stdout)
    assert [one["feature"] for one in told["warnings"]] == ["node", "x"]


def test_no_message_steers_a_terminal():
    hostile = PointWarning("unknown_feature", "a", "x.a\x1b[2J is\n1")
    one = Prediction(1.5, "m", 3, {"a": 1}, warnings=(hostile,))
    for shown in (repr(one), repr(Predictions([one]))):
        assert "\x1b" not in shown
        assert "warning: x.a?[2J is?1" in shown
