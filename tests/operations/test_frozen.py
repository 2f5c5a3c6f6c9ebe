"""A frozen copy of a model: a file that another server predicts with, bit for bit the same, and learns nothing."""

import dataclasses
import json

import pytest
from river import linear_model

from server.learning import frozen_copies, inspection, registry
from server.learning.frozen_copies import FrozenError
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.learning.write_path import learn_points
from server.streams import registry as streams
from server.streams.models import Stream
from server.streams.points import Point
from tests.serving import PATIENCE, Server

XS = [{"a": 0.1 * n, "b": 3.0} for n in range(7)]


@pytest.fixture
def copy():
    """A model that has learned something, frozen; the database is empty again."""
    streams.create("s", target_name="t", target_unit="s", target_kind="number", features=["a", "b"], segment="b")
    model = registry.create("m", "s", "regression", linear_model.LinearRegression(intercept_lr=0.1))
    learn_points.learn(model.stream_id, [Point({"a": n / 3, "b": 1.0}, n / 7) for n in range(40)])
    said, metrics = predict_points.predict("m", XS, fields=[""] * 7).predictions, inspection.metrics("m")
    found = frozen_copies.freeze("m")
    Stream.objects.all().delete()
    assert not Model.objects.exists()
    return found, said, metrics


@pytest.mark.django_db(transaction=True)
def test_it_comes_back_as_it_was_without_its_log(copy, tmp_path):
    found, said, metrics = copy
    (tmp_path / "m").write_bytes(found.to_bytes())
    assert frozen_copies.read(tmp_path / "m") == found
    for _ in range(2):  # as a server does that is started again
        frozen_copies.install(frozen_copies.read(tmp_path / "m"))
        answer = predict_points.predict("m", XS, fields=[""] * 7)
        assert (answer.at, answer.predictions) == (40, said)
        assert inspection.metrics("m")["metrics"] == metrics["metrics"]
    stream = Stream.objects.get(name="s")
    assert (stream.target_unit, stream.features, stream.segment) == ("s", {"a": "number", "b": "number"}, "b")


@pytest.mark.django_db(transaction=True)
def test_it_takes_the_place_of_nothing(copy):
    found, _, _ = copy
    streams.create("s")
    with pytest.raises(FrozenError, match="another stream named s: a frozen model needs a database of its own"):
        frozen_copies.install(found)
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    with pytest.raises(FrozenError, match="another model named m"):
        frozen_copies.install(found)
    assert predict_points.predict("m", XS[:1]).at == 0


@pytest.mark.django_db(transaction=True)
def test_a_state_of_another_version_is_refused_whole(copy):
    found, _, _ = copy
    other = dataclasses.replace(found, state=b"\x80\x04cno.such\nThing\n.", versions="tailrace 9, river 99")
    with pytest.raises(FrozenError, match="was frozen with tailrace 9, river 99, and can't be read with tailrace"):
        frozen_copies.install(other)
    assert not Model.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_file_that_was_altered_is_refused(copy, tmp_path):
    data = copy[0].to_bytes()
    head, _, rest = data.partition(b"\n")
    newer = json.dumps({**json.loads(head), "version": 2}).encode()
    file = tmp_path / "m"
    for content, words in (
        (data[:-1], "the checksum of its state is wrong"),
        (data + b"x", "1 bytes too many"),
        (head + b"\n" + bytes([rest[0] ^ 1]) + rest[1:], "the checksum of its initial is wrong"),
        (newer + b"\n" + rest, "has format 2, and this version knows 1"),
        (b"", "is not a frozen model"),
        (b'{"format": "another"}\n', "is not a frozen model"),
        (b"[1]\n", "is not a frozen model"),
    ):
        file.write_bytes(content)
        with pytest.raises(FrozenError, match=words):
            frozen_copies.read(file)
    with pytest.raises(FrozenError, match="No such file"):
        frozen_copies.read(tmp_path / "none")


@pytest.mark.one_database
def test_a_server_with_a_frozen_model_predicts_and_refuses_all_else(serve, tmp_path):
    server = serve(workers=1, threads=2)
    server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "t"}, "features": ["a", "b"]})
    server.post("/api/v1/models/", {"name": "m", "stream": "runs", "recipe": "linear"})
    points = [{"x": {"a": n, "b": 1}, "y": n / 7} for n in range(20)]
    assert server.post("/api/v1/streams/runs/observations/", {"observations": points})[0] == 201
    said = server.post("/api/v1/models/m/predict/", {"xs": XS})
    file = tmp_path / "m.tailrace"
    done = server.manage("freeze", "m", str(file))
    assert done.returncode == 0, done.stderr
    assert "model m after 20 observations" in done.stdout
    copy = Server(tmp_path / "copy", empty=True, frozen_model=file, workers=1, threads=2).start()
    try:
        assert copy.get("/ping") == (200, {"status": "ready"})
        assert copy.post("/api/v1/models/m/predict/", {"xs": XS}) == said
        csv = "\n".join(f"{x['a']!r},{x['b']!r}" for x in XS).encode()
        status, text = copy.request("POST", "/invocations", csv, {"Content-Type": "text/csv"})
        assert (status, [float(line) for line in text.split()]) == (200, said[1]["predictions"])
        assert copy.post("/api/predict/", {"model": "m", "features": XS[0]})[1] == {
            "model": "m",
            "prediction": said[1]["predictions"][0],
        }
        for path, body in (
            ("/api/v1/streams/runs/observations/", points[0]),
            ("/api/learn/", {"model": "m", "features": XS[0], "ground_truth": 1}),
            ("/api/v1/models/", {"name": "n", "stream": "runs", "recipe": "mean"}),
            ("/api/v1/streams/runs/observations/1/retract/", {"reason": "wrong"}),
        ):
            status, data = copy.post(path, body)
            assert (status, data["error"]["code"]) == (409, "frozen"), path
        assert copy.request("DELETE", "/api/v1/models/m/")[0] == 409
        copy.stop()
        file.write_bytes(file.read_bytes()[:-1])
        assert copy.begin().process.wait(PATIENCE) == 1
        assert f"TAILRACE_FROZEN_MODEL={file}: {file} is truncated or changed" in copy.log.read_text()
    finally:
        if copy.process.poll() is None:
            copy.stop()


@pytest.mark.django_db(transaction=True)
def test_it_knows_what_its_stream_had_seen(tmp_path):
    model = registry.create("m", None, "regression", linear_model.LinearRegression())
    learn_points.learn(model.stream_id, [Point({"a": float(n)}, 1.0) for n in range(5)])
    (tmp_path / "m").write_bytes(frozen_copies.freeze("m").to_bytes())
    Stream.objects.all().delete()
    frozen_copies.install(frozen_copies.read(tmp_path / "m"))
    assert predict_points.predict("m", [{"a": 2.5}]).faults == ()
    (fault,) = predict_points.predict("m", [{"a": 9.0}]).faults
    assert (fault.code, fault.seen) == ("outside", "seen: 0.0 to 4.0")
