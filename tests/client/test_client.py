"""The client as a researcher uses it: asking, labelling, looking, making, on a real server."""

import json
import os
import pickle
import subprocess
import sys

import numpy
import pandas
import pytest
from river import tree
from tailrace import AsyncClient
from tailrace.errors import Conflict, Forbidden, NotFound, Refused, Unusable
from tailrace.handles import predictor
from tailrace.handles.client import Client
from tailrace.optional_dependencies import MissingExtra
from tailrace.posting.post import make_observation
from tailrace.similar_names import UnknownName
from tailrace.spool.spool import Spool

from tests.client.conftest import POINTS, STREAM, run_times
from tests.client.listeners import answer, listening, replies
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

JOB = {"x": 8, "y": 16, "z": 8}
NOBODY = "http://127.0.0.1:9"


def run_python(code: str) -> str:
    """What a fresh Python with the client prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, "")


# Asking


def test_it_predicts_what_the_server_predicts_with_unit_and_interval(client, served):
    said = served.post("/api/v1/models/runtime/predict/", {"x": JOB, "level": 0.8})[1]
    found = client.model("runtime").predict(**JOB, level=0.8)
    assert (found.value, [found.low, found.high], found.at) == (said["prediction"], said["interval"], POINTS)
    assert float(found) == found.value
    assert (found.unit, found.level, found.model) == ("s", 0.8, "runtime")
    assert client.model("runtime").predict(JOB, level=0.8) == found


def test_a_model_without_intervals_gives_none(client):
    found = client.model("linear").predict(JOB)
    assert (found.low, found.high) == (None, None)
    assert "low" not in client.model("linear").predict([JOB]).to_frame()


def test_many_points_are_answered_in_their_order_however_they_come(client, monkeypatch):
    jobs = [{"x": x, "y": 4, "z": 4} for x in range(1, 12)]
    model = client.model("runtime")
    one_by_one = [model.predict(job).value for job in jobs]
    assert model.predict(jobs).values == one_by_one
    assert model.predict(iter(jobs)).values == one_by_one
    assert model.predict(jobs)[2:4].values == one_by_one[2:4]
    assert model.predict([]).values == []
    monkeypatch.setattr(predictor, "AT_ONCE", 3)
    assert model.predict(jobs).values == one_by_one


def test_a_frame_is_answered_by_a_frame_with_its_index(client):
    frame = pandas.DataFrame({"x": [1, 2], "y": [4, 4], "z": [4.0, 4.5]}, index=["a", "b"])
    answered = client.model("runtime").predict(frame).to_frame()
    assert list(answered.index) == ["a", "b"]
    assert list(answered.columns) == ["x", "y", "z", "prediction", "low", "high"]
    assert answered["prediction"].tolist() == client.model("runtime").predict(frame.to_dict("records")).values


def test_what_is_missing_in_a_frame_is_left_out_of_its_point(client):
    frame = pandas.DataFrame({"x": [1.0, None], "y": [4, 4], "z": [4, 4]})
    with pytest.raises(Refused, match="missing x"):
        client.model("runtime").predict(frame)


def test_numbers_of_numpy_are_numbers(client):
    job = {"x": numpy.int64(8), "y": numpy.float32(16), "z": 8}
    assert client.model("runtime").predict(job).value == client.model("runtime").predict(JOB).value


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda model: model.predict(x=float("nan"), y=1, z=1), r"x\['x'\] is nan: expected a finite number"),
        (lambda model: model.predict([JOB, {"x": numpy.float64("inf")}]), r"points\[1\]\['x'\] is inf"),
        (lambda model: model.predict("x=8"), "'x=8' is not a point: expected features by name"),
        (lambda model: model.predict([3]), r"points\[0\] is 3: expected features by name"),
        (lambda model: model.predict(8), "8 is not a point"),
    ],
)
def test_what_is_no_point_is_refused_before_it_is_sent(ask, said):
    with pytest.raises(Unusable, match=said):
        ask(Client(NOBODY, "").model("runtime"))


def test_a_series_is_one_point(client):
    frame = pandas.DataFrame([JOB, {"x": 1, "y": 2, "z": 3}])
    asked = [client.model("runtime").predict(row).value for _, row in frame.iterrows()]
    assert asked == client.model("runtime").predict(frame).values


def test_an_argument_of_the_wrong_kind_is_named(client):
    levels = pandas.DataFrame([[1, 2.0]], columns=pandas.MultiIndex.from_product([["melt"], ["x", "y"]]))
    model, stream = client.model("runtime"), client.stream(STREAM)
    for call, said in (
        (lambda: Client(deadline="5s"), "the deadline is '5s': expected seconds"),
        (lambda: Client(deadline=-1), "the deadline is -1: expected seconds, more than 0"),
        (lambda: Client(deadline=float("nan")), "the deadline is nan"),
        (lambda: stream.tail("5"), r"tail\('5'\): expected how many observations"),
        (lambda: stream.tail(-1), r"tail\(-1\): expected how many observations"),
        (lambda: model.predict(JOB, level=float("nan")), "level is nan: expected a number between 0 and 1"),
        (lambda: model.predict(JOB, level="0.9"), "level is '0.9': expected a number"),
        (lambda: model.predict(levels), r"the frame has the column \('melt', 'x'\), of several levels"),
        (lambda: client.post_frame(STREAM, levels, "y"), r"\('melt', 'x'\), of several levels"),
    ):
        with pytest.raises(Unusable, match=said):
            call()
    assert model.predict(JOB, level=numpy.float32(0.5)).low is not None


def test_features_come_in_one_way_only(client):
    with pytest.raises(TypeError, match="either as a mapping or as keywords"):
        client.model("runtime").predict(JOB, x=3)
    with pytest.raises(TypeError, match="x is for one point"):
        client.model("runtime").predict([JOB], x=3)


def test_a_token_that_may_only_predict_gets_its_prediction_without_a_unit():
    denied = answer("403 Forbidden", b'{"error": {"code": "forbidden", "message": "read is not in its scopes"}}')
    predicted = answer("200 OK", b'{"prediction": 3.5, "at": 7}')

    def behave(connection, number):
        asked = listener.requests[-1].startswith(b"GET")
        connection.sendall(denied if asked else predicted)
        connection.close()

    with listening(behave) as listener:
        model = Client(listener.url, "trc_predict").model("runtime")
        assert repr(model.predict(x=1)) == "3.5, runtime after observation 7"
        before = len(listener.requests)
        model.predict(x=1)
        assert len(listener.requests) == before + 1
        with pytest.raises(Forbidden):
            model.metrics()


def test_requests_name_the_stream_where_it_is_known(client, served):
    answers = {
        path: answer("200 OK", json.dumps(served.get(path)[1]).encode())
        for path in ("/api/v1/models/runtime/", f"/api/v1/streams/{STREAM}/", "/api/v1/models/runtime/history/")
    }

    def behave(connection, number):
        connection.sendall(answers[listener.requests[-1].split()[1].decode()])
        connection.close()

    with listening(behave) as listener:
        model = Client(listener.url, "").model("runtime")
        model.info()
        model.history()
        Client(listener.url, "").stream(STREAM).info()
        named = [f"X-Tailrace-Stream: {STREAM}\r\n".encode() in request for request in listener.requests]
        assert listener.requests[0].startswith(b"GET /api/v1/models/runtime/ ")
        assert not named[0]
        assert all(named[1:])
        assert len(named) == 4


# Labels


def test_a_kept_prediction_is_labelled_once(client):
    client.create_stream("labelled", "time", "s")
    model = client.create("labelled-mean", "labelled", "mean")
    kept = model.predict(x=1, track=True)
    first = client.label(kept.identifier, 5.0, source={"job": 7})
    assert first["accepted"] == 1
    assert client.label(kept.identifier, 5.0)["duplicates"] == 1
    with pytest.raises(Conflict, match=r"has the label 5.0 already"):
        client.label(kept.identifier, 6.0)
    assert [one["y"] for one in client.stream("labelled").observations()] == [5.0]
    assert model.predict(x=1, identifier="mine").identifier == "mine"
    again = model.predict(x=2, track=True)
    assert client.label(again, 6.0)["accepted"] == 1
    with pytest.raises(Unusable, match="isn't stored for a label: predict with"):
        client.label(model.predict(x=2), 6.0)


# Looking


def test_metrics_are_those_of_the_server_with_units(client, served):
    said = served.get("/api/v1/models/runtime/metrics/")[1]
    found = client.model("runtime").metrics()
    assert dict(found) == said["metrics"]
    assert (found["RMSE"], found.n, found.at) == (said["metrics"]["RMSE"], said["n"], POINTS)
    assert {name: found.unit_of(name) for name in found} == {
        "MAE": "s", "RMSE": "s", "SMAPE": "%", "R2": "", "Bias": "s"
    }  # fmt: skip


@pytest.mark.parametrize("n", ["x", 2.5, None, True, numpy.True_])
def test_what_is_no_number_of_an_observation_is_refused(n):
    with pytest.raises(Unusable, match="expected the number of an observation"):
        Client(NOBODY, "").model("runtime").as_of(n)
    with pytest.raises(Unusable, match="expected the number of an observation"):
        Client(NOBODY, "").stream("s").retract(n, "wrong")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.label(3, 2), "identifier is 3: expected the identifier of a stored prediction"),
        (lambda c: c.label(None, 2), "identifier is None: expected"),
        (lambda c: c.label("a", [1]), r"y is \[1\]: expected a number, a boolean or a text"),
        (lambda c: c.post("s", {"a": 1}, [1]), r"y is \[1\]: expected a number, a boolean or a text"),
        (lambda c: c.post("s", {"a": {"b": 1}}, 1), r"x\['a'\] is \{'b': 1\}: expected a number"),
        (lambda c: c.post(5, {"a": 1}, 1), "5 is not a stream's name: expected text"),
        (lambda c: c.model(5).predict(x=1), "5 is not a name: expected text"),
        (lambda c: c.stream(None).info(), "None is not a name: expected text"),
        (lambda c: Client(5), "5 is not a server's address: expected an address such as"),
        (lambda c: Client(NOBODY, 5), "the token is a value of type int: expected text"),
        (lambda c: AsyncClient(5), "5 is not a server's address: expected an address such as"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_what_was_expected(call, said, tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path / "spool"))
    with pytest.raises(Unusable, match=said):
        call(Client(NOBODY, ""))
    assert not (tmp_path / "spool").exists()


def test_a_model_is_looked_at_as_of_an_observation(client, served):
    then = client.model("runtime").as_of(50)
    assert dict(then.metrics()) == served.get("/api/v1/models/runtime/metrics/?at=50")[1]["metrics"]
    assert then.info()["learned"] == 50
    with pytest.raises(Refused, match="expected a number from 0 to 120"):
        client.model("runtime").as_of(1000).info()


def test_the_history_is_a_frame_too(client):
    history = client.model("runtime").history()
    frame = history.to_frame()
    assert len(frame) == len(history) == POINTS - 1
    assert frame.index.name == "n"
    assert frame["RMSE"].iloc[-1] == client.model("runtime").metrics()["RMSE"]


def test_catalogs_hold_what_the_server_has(client):
    assert {"runtime", "linear", "mean"} <= set(client.models)
    assert STREAM in client.streams
    assert client.models["runtime"].stream == client.streams[STREAM]
    assert client.models.runtime.name == "runtime"
    assert client.recipes["runtime"]["flavor"] == "regression"
    assert len(client.streams) == len(list(client.streams))


def test_features_are_the_declared_ones_or_those_that_were_seen(client, served):
    assert client.model("runtime").features == dict.fromkeys("xyz", "number")
    body = {"observations": [{"x": {"a": 1, "kind": "fcc", "on": True}, "y": 1.0}, {"x": {"b": 2}, "y": 1.0}]}
    assert served.post("/api/v1/streams/open/observations/", body)[0] == 201
    assert client.stream("open").features == {"a": "number", "kind": "category", "on": "boolean", "b": "number"}


@pytest.mark.parametrize(
    ("ask", "kind", "said"),
    [
        (lambda c: c.model("runtme").predict(**JOB), NotFound, r"no model named 'runtme' \(did you mean 'runtime'\?\)"),
        (lambda c: c.model("qqq").metrics(), NotFound, r"no model named 'qqq' \(models: "),
        (lambda c: c.stream("lamps-runtime").head, NotFound, r"did you mean 'lammps-runtime'\?"),
        (lambda c: c.create("new", "lammps-runtim", "mean"), NotFound, r"did you mean 'lammps-runtime'\?"),
        (
            lambda c: c.models["rntime"],
            UnknownName,
            r"^no model named 'rntime' \(did you mean 'runtime'\?\): there are",
        ),
        (lambda c: c.models.rntime, AttributeError, r"did you mean 'runtime'\?"),
        (lambda c: c.recipes["RUNTIME"], UnknownName, r"did you mean 'runtime'\?"),
        (lambda c: c.model("runtime").metrics()["RSME"], UnknownName, r"did you mean 'RMSE'\?"),
        (lambda c: c.model("runtime").history().column("rmse"), UnknownName, r"did you mean 'RMSE'\?"),
    ],
)
def test_a_wrong_name_is_answered_with_what_was_probably_meant(client, ask, kind, said):
    with pytest.raises(kind, match=said) as caught:
        ask(client)
    assert not str(caught.value).startswith('"')


def test_a_wrong_feature_is_answered_with_what_was_probably_meant(client):
    client.create_stream("jobs", "time", "s", features=["atoms", "processes"])
    client.create("jobs-mean", "jobs", "mean")
    with pytest.raises(Refused, match=r"unknown proceses; missing processes \(did you mean 'processes'\?\)"):
        client.model("jobs-mean").predict(atoms=1, proceses=2)
    with pytest.raises(Refused, match=r"missing processes$"):
        client.model("jobs-mean").predict(atoms=1)


def test_nothing_is_asked_before_it_is_used_and_showing_never_raises():
    client = Client(NOBODY, "", deadline=0.2)
    assert "connection refused" in repr(client.model("m"))
    assert "connection refused" in client.stream("s")._repr_html_()
    assert "9" in repr(client)


# Making


def test_a_model_is_made_from_a_recipe_with_parameters_and_learns_the_history(client):
    model = client.create("quick", STREAM, "runtime", parameters={"degree": 2}).wait(60)
    info = model.info()
    assert (info["recipe"], info["parameters"]["degree"], info["learned"]) == ("runtime", 2, POINTS)
    with pytest.raises(Conflict, match="the name 'quick' is taken"):
        client.create("quick", STREAM, "runtime")
    model.delete()
    assert "quick" not in client.models


def test_a_model_is_made_from_an_estimator_of_river(client):
    from river import linear_model, preprocessing

    estimator = preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)
    model = client.create("from-river", STREAM, estimator).wait(60)
    assert model.info()["flavor"] == "regression"
    # The recipe `linear` is the same estimator: so the fold over the same points is the same, bit for bit.
    assert dict(model.metrics()) == dict(client.model("linear").metrics())
    model.delete()


def test_the_kind_of_task_is_found_out_from_the_estimator_and_the_target(client):
    from river import cluster, preprocessing, tree

    client.create_stream("ended", "completed", kind="boolean")
    client.create_stream("phases", "phase", kind="category")
    client.create_stream("shapes", "shape", kind="any")
    assert client.create("ended-tree", "ended", estimator=tree.HoeffdingTreeClassifier()).info()["flavor"] == "binary"
    phase = client.create("phase-tree", "phases", estimator=tree.HoeffdingTreeClassifier())
    assert phase.info()["flavor"] == "multiclass"
    assert client.create("kmeans", "shapes", estimator=cluster.KMeans(seed=1)).info()["flavor"] == "cluster"
    with pytest.raises(Unusable, match="the flavor of StandardScaler can't be derived: give flavor"):
        client.create("scaler", "shapes", estimator=preprocessing.StandardScaler())


def test_an_estimator_that_holds_a_function_is_refused_here_by_name(client):
    from river import compose, linear_model
    from tailrace.estimators.description import DescriptionError

    with pytest.raises(DescriptionError, match="it holds a function"):
        client.create("no", STREAM, estimator=compose.FuncTransformer(len) | linear_model.LinearRegression())


def test_a_model_is_either_of_a_recipe_or_of_an_estimator(client):
    with pytest.raises(TypeError, match="either a recipe"):
        client.create("no", STREAM)
    with pytest.raises(TypeError, match="flavor='binary' goes with an estimator"):
        client.create("no", STREAM, "linear", flavor="binary")


def test_an_observation_is_posted_and_retracted(client):
    client.create_stream("wrong", "time", "s")
    model = client.create("wrong-mean", "wrong", "mean")
    for y in (1.0, 1000.0, 3.0):
        assert client.post("wrong", {"x": numpy.int64(1)}, numpy.float64(y), strict=True).delivered
    client.stream("wrong").retract(2, "the node was throttled")
    assert [one["y"] for one in client.stream("wrong").observations() if "retracted" not in one] == [1.0, 3.0]
    assert client.stream("wrong").to_frame()["retracted"][2] == "the node was throttled"
    assert model.name in client.stream("wrong").models


def test_a_point_on_which_the_only_model_fails_is_delivered_and_said_to_be_skipped(client, tmp_path, monkeypatch):
    client.create_stream("extremes", "state", kind="category")
    client.create("htc", "extremes", estimator=tree.HoeffdingTreeClassifier(leaf_prediction="nb"))
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path))
    spool = Spool()
    points = [({"tiny": 1e-300 * n, "huge": 1e300 * n}, "abc"[n % 3]) for n in range(12)]
    posted = [client.post("extremes", x, y) for x, y in points[:10]]
    assert all(one.delivered for one in posted)
    assert posted[-1].skipped["htc"].startswith("OverflowError")
    assert repr(posted[-1]) == "<observation 10 of extremes, skipped by htc>"
    assert (posted[0].skipped, repr(posted[0])) == ({}, "<observation 1 of extremes>")
    for x, y in points[10:]:
        spool.put("extremes", make_observation(x, y))
    assert [one.refused for one in spool.flush(client.server)] == [None, None]
    assert client.stream("extremes").head == 12
    assert not (tmp_path / "refused").exists()


def test_a_strict_post_raises_what_prevented_it(client, tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path / "spool"))
    with pytest.raises(Refused, match="doesn't have the features"):
        client.post(STREAM, {"x": 1}, 1.0, strict=True)
    assert client.post(STREAM, {"x": 1}, 1.0).delivered is False


# Offline


def test_a_download_predicts_offline_what_the_server_predicts(client, tmp_path):
    model = client.model("runtime")
    estimator = model.download()
    assert estimator.predict_one(JOB) == model.predict(JOB).value
    path = model.download(tmp_path / "runtime.pkl")
    code = f"import pickle; print(repr(pickle.load(open({str(path)!r}, 'rb')).predict_one({JOB!r})))"
    assert float(run_python(code)) == model.predict(JOB).value


def test_a_download_as_of_an_observation_is_the_estimator_of_then(client):
    then = client.model("runtime").as_of(50).download()
    log = list(client.stream(STREAM).observations(after=50, limit=1))
    assert then.predict_one(log[0]["x"]) == log[0]["predictions"]["runtime"]


def test_a_download_that_cannot_be_read_here_says_so():
    with listening(replies(answer("200 OK", pickle.dumps(print)[:-3]))) as listener:
        client = Client(listener.url, "")
        with pytest.raises(Exception, match=r"the estimator of m can't be read with river \d"):
            client.model("m").download()


# Light


def test_asking_imports_no_heavy_library(served):
    code = f"""
import sys
from tailrace.handles.client import Client
c = Client({served.url!r}, "")
repr(c.model("runtime").predict([{JOB!r}])), repr(c.models), repr(c.model("runtime").metrics()), c.stream({STREAM!r}).tail()
print(sorted({{"numpy", "pandas", "river", "matplotlib", "scipy"}} & set(sys.modules)))
"""
    assert run_python(code) == "[]\n"


@pytest.mark.parametrize(
    ("library", "call", "extra"),
    [
        ("pandas", 'c.stream("lammps-runtime").to_frame()', "pandas"),
        ("pandas", 'c.model("runtime").history().to_frame()', "pandas"),
        ("matplotlib", 'c.model("runtime").plot()', "plot"),
        ("matplotlib", 'c.model("runtime").scatter()', "plot"),
        ("river", 'c.model("runtime").download()', "river"),
        ("river", 'c.create("n", "lammps-runtime", estimator=object())', "river"),
    ],
)
def test_a_missing_library_is_asked_for_by_the_extra_that_brings_it(served, library, call, extra):
    code = f"""
import sys
sys.modules[{library!r}] = None
from tailrace.handles.client import Client
from tailrace.optional_dependencies import MissingExtra
c = Client({served.url!r}, "")
try:
    {call}
except MissingExtra as error:
    print(error)
"""
    assert run_python(code) == (f"this needs {library}, which is not installed: pip install 'tailrace[{extra}]'\n")
    assert issubclass(MissingExtra, ImportError)


def test_the_log_is_read_in_pages(client, monkeypatch):
    from tailrace.handles import log_reader

    whole = list(client.stream(STREAM).observations())
    monkeypatch.setattr(log_reader, "PAGE", 7)
    assert list(client.stream(STREAM).observations()) == whole
    assert [one["key"] for one in whole] == [one["key"] for one in run_times()]
    assert [one["seq"] for one in client.stream(STREAM).observations(after=100, limit=9)] == list(range(101, 110))
    assert list(client.stream(STREAM).observations(limit=0)) == []
