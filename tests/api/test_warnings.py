"""Points that differ from all that a stream has seen: answered with warnings, refused where strict is asked for."""

import json

import pytest
from river import dummy, stats

from server.learning import registry
from server.learning.models import Prediction
from server.learning.write_path import learn_points
from server.streams import feature_warnings
from server.streams.points import Point
from tests.api_client import Api, refused
from tests.people import bearer, person, secret_of

pytestmark = pytest.mark.django_db(transaction=True)

PREDICT = "/api/v1/models/m/predict/"
OBSERVATIONS = "/api/v1/streams/s/observations/"
SEEN = {"x": 8, "y": 16, "pair": "Cu-Zr"}


def fed(api: Api, **stream) -> Api:
    api.stream("s", **stream)
    api.model("m", "s", "mean")
    for n in range(20):
        api.learn({"x": n, "y": 2 * n, "pair": ("Cu-Zr", "Zr-Zr")[n % 2]}, 3.0 * n)
    return api


@pytest.fixture
def open_stream(api: Api) -> Api:
    """A model on a stream that declares no features and has seen twenty points."""
    return fed(api)


def warned(api: Api, **body) -> list[tuple[str, str | None, str]]:
    answer = api.ok(PREDICT, body)
    assert "prediction" in answer or "predictions" in answer
    return [(one["code"], one.get("field"), one["message"]) for one in answer.get("warnings", [])]


def test_a_point_like_those_seen_is_answered_as_ever(open_stream):
    assert set(open_stream.ok(PREDICT, {"x": SEEN})) == {"at", "prediction"}
    assert set(open_stream.ok(PREDICT, {"x": SEEN, "strict": True})) == {"at", "prediction"}
    assert set(open_stream.ok(PREDICT, {"xs": [SEEN] * 30, "strict": True})) == {"at", "predictions"}


def test_each_way_to_differ_is_told_with_what_was_seen(open_stream):
    assert warned(open_stream, x={"x": 8, "y": "foo", "z": 1}) == [
        ("unknown_feature", "x.z", "x.z is 1: no observation has such a feature (they have x, y, pair)"),
        ("missing_feature", "x.pair", "x.pair is missing: every observation has it (20 of 20, seen: 'Cu-Zr', 'Zr-Zr')"),
        ("other_kind", "x.y", "x.y is 'foo': it has always been a number (seen: 0 to 38)"),
    ]
    assert [one[:2] for one in warned(open_stream, x={"x": 8})] == [
        ("missing_feature", "x.y"),
        ("missing_feature", "x.pair"),
    ]
    assert warned(open_stream, x={**SEEN, "x": 19.5, "pair": "Cu-Cu"}) == [
        ("outside", "x.x", "x.x is 19.5: outside of what was seen (seen: 0 to 19)"),
        ("outside", "x.pair", "x.pair is 'Cu-Cu': outside of what was seen (seen: 'Cu-Zr', 'Zr-Zr')"),
    ]
    assert warned(open_stream, x={**SEEN, "x": True}) == [
        ("other_kind", "x.x", "x.x is true: it has always been a number (seen: 0 to 19)")
    ]


def test_of_many_points_each_fault_is_told_once_with_the_points_that_have_it(open_stream):
    xs = [SEEN, {**SEEN, "x": 99}, SEEN, {**SEEN, "x": -1, "new": 1}]
    found = open_stream.ok(PREDICT, {"xs": xs})
    assert len(found["predictions"]) == 4
    assert found["warnings"] == [
        {
            "code": "unknown_feature", "field": "xs[3].new", "feature": "new", "points": [3],
            "message": "new: no observation has such a feature (they have x, y, pair)",
        },
        {
            "code": "outside", "field": "xs[1].x", "feature": "x", "points": [1, 3],
            "message": "x: outside of what was seen (seen: 0 to 19)",
        },
    ]  # fmt: skip
    without = [{"x": 1, "y": 1}] * 1000
    (only,) = open_stream.ok(PREDICT, {"xs": without})["warnings"]
    assert (only["code"], only["points"]) == ("missing_feature", list(range(1000)))
    assert only["message"].startswith("pair is missing: every observation has it (20 of 20")
    many = open_stream.ok(PREDICT, {"xs": [SEEN, *({**SEEN, f"new {n}": 1} for n in range(9))]})["warnings"]
    assert [one["points"] for one in many] == [[1], [2], [3], [4], [5], [6, 7, 8, 9]]
    assert many[-1]["message"] == "and 4 more"


def test_strict_makes_them_one_error_that_names_all_and_keeps_nothing(open_stream):
    body = {"x": {"x": 8, "y": "foo", "z": 1}, "identifier": "job-1", "strict": True}
    error = refused(open_stream.post(PREDICT, body), 400, "x.z", "unfamiliar")
    for told in ("x.z is 1: no", "x.y is 'foo': it has always been a number (seen: 0 to 38)", "x.pair is missing"):
        assert told in error["message"]
    assert not Prediction.objects.exists()
    body = {"xs": [SEEN, {**SEEN, "x": 99}, {**SEEN, "x": 98}], "strict": True}
    error = refused(open_stream.post(PREDICT, body), 400, "xs[1].x")
    told = "xs[1].x is 99: outside of what was seen (seen: 0 to 19); the same for 1 more points"
    assert error["message"].endswith(told)
    for wrong in (None, 1, "true"):
        refused(open_stream.post(PREDICT, {"x": SEEN, "strict": wrong}), 400, "strict")


def test_a_repeated_identifier_answers_as_at_first_whatever_was_seen_since(api):
    api.stream("s")
    api.model("m", "s", "mean")
    body = {"x": {"a": 1}, "identifier": "job-1", "strict": True}
    first = api.ok(PREDICT, body)  # nothing was seen yet
    api.learn({"b": 1}, 5.0)
    again = api.ok(PREDICT, body)
    assert [one["code"] for one in again.pop("warnings")] == ["unknown_feature", "missing_feature"]
    assert again == first
    refused(api.post(PREDICT, {**body, "identifier": "job-2"}), 400, code="unfamiliar")


def test_a_stream_that_declares_its_features_refuses_as_ever(api):
    fed(api, features={"x": "number", "y": "number", "pair": "category"})
    for strict in (False, True):
        refused(api.post(PREDICT, {"x": {"x": 8}, "strict": strict}), 400, "x.y", "invalid")
        refused(api.post(PREDICT, {"x": {**SEEN, "y": "foo"}, "strict": strict}), 400, "x.y", "invalid")
        assert warned(api, x={**SEEN, "x": 99}, strict=strict) == []


def test_what_an_estimator_refuses_says_what_was_seen_too(api):
    api.stream("s")
    api.model("m", "s", "linear")
    for n in range(5):
        api.learn({"a": n}, 2.0 * n)
    error = refused(api.post(PREDICT, {"x": {"a": "foo"}}), 400, "x", "refused")
    assert error["message"].endswith("(x.a is 'foo': it has always been a number (seen: 0 to 4))")


def test_protocols_of_others_stay_as_they_are_and_say_it_in_a_header(open_stream):
    x = {"x": 8, "y": 99, "pair": "Cu-Zr"}
    told = "y is 99: outside of what was seen (seen: 0 to 38)"
    asked = {"model": "m", "features": x, "identifier": False}
    riverapi = open_stream.post("/api/predict/", asked)
    assert set(riverapi.json()) == {"model", "prediction"}
    assert riverapi["X-Tailrace-Warnings"] == f"features.{told}"
    assert (
        open_stream.post("/api/predict/", {**asked, "identifier": "one"})["X-Tailrace-Warnings"] == f"features.{told}"
    )
    sagemaker = open_stream.post("/invocations/m", {"instances": [x]})
    assert set(sagemaker.json()) == {"predictions", "model", "at"}
    assert sagemaker["X-Tailrace-Warnings"] == f"instances[0].{told}"
    assert "X-Tailrace-Warnings" not in open_stream.post("/api/predict/", {**asked, "features": SEEN})
    hostile = {"new\r\nX-Evil: 1": "é\n", **SEEN}
    assert "X-Evil" not in open_stream.post("/api/predict/", {**asked, "features": hostile})


def test_who_may_not_read_the_stream_hears_no_values_of_it(required, api):
    model = registry.create("m", None, "regression", dummy.StatisticRegressor(stats.Mean()))
    learn_points.learn(model.stream_id, [Point({"x": 8, "y": y, "pair": "Zr-Zr"}, 1.0) for y in (0, 38)])
    secrets = {
        scopes: bearer(secret_of(person(f"p{n}"), scopes))
        for n, scopes in enumerate((("predict",), ("predict", "read")))
    }
    x = {"x": 8, "y": 99, "new": 1, "pair": "Cu-Cu"}
    for scopes, headers in secrets.items():
        may_read = "read" in scopes
        answers = [
            api.post(PREDICT, {"x": x}, **headers).content.decode(),
            api.post(PREDICT, {"x": x, "strict": True}, **headers).content.decode(),
            api.post("/api/predict/", {"model": "m", "features": x}, **headers)["X-Tailrace-Warnings"],
        ]
        for answer in answers:
            assert "outside of what was seen" in answer
            assert ("0 to 38" in answer) is ("Zr-Zr" in answer) is may_read, answer


def test_values_of_any_kind_and_length_are_told_shortly(open_stream):
    x = {**SEEN, "pair": "\n" * 900, "x": 1e308, "y": -(2**63), "n" * 200: "v" * 1000}
    answer = open_stream.ok(PREDICT, {"x": x})
    assert [one["code"] for one in answer["warnings"]] == ["unknown_feature", *["outside"] * 3]
    assert len(json.dumps(answer)) < 2_000


def test_of_very_many_ways_few_are_put_into_words_and_the_others_are_counted(api, monkeypatch):
    monkeypatch.setattr(feature_warnings, "MOST_LOOKED_AT", 3_000)
    said = []
    names = feature_warnings._names
    monkeypatch.setattr(feature_warnings, "_names", lambda summary: said.append(1) or names(summary))
    api.stream("wide", target={"name": "t"})
    api.model("m", "wide", "mean")
    api.ok("/api/v1/streams/wide/observations/", {"x": {f"f{n}": n for n in range(1000)}, "y": 1.0}, 201)
    xs = [{f"g{n}": n for n in range(1000)} for _ in range(4)]
    warnings = api.ok("/api/v1/models/m/predict/", {"xs": xs})["warnings"]
    assert len(said) == 1
    assert [one["code"] for one in warnings] == ["unknown_feature"] * 5 + ["missing_feature"] * 5 + ["more"]
    assert warnings[-1]["message"] == "and 1,990 more"
    assert warnings[-1]["points"] == [0, 1, 2, 3]
    error = refused(api.post("/api/v1/models/m/predict/", {"xs": xs, "strict": True}), 400, code="unfamiliar")
    assert "more" in error["message"] and len(error["message"]) < 5_000


def learned(api: Api, *points) -> list[tuple[str, str]]:
    raw = [{"x": x, "y": 1.0, "key": f"k{n}-{len(str(x))}"} for n, x in enumerate(points)]
    receipt = api.ok(OBSERVATIONS, raw[0] if len(raw) == 1 else {"observations": raw}, 201)
    return [(one["code"], one["message"]) for one in receipt.get("warnings", [])]


def test_what_looks_like_a_mistake_is_learned_and_told_in_the_receipt(open_stream):
    assert learned(open_stream, {**SEEN, "x": "8,0"}) == [
        ("other_kind", "x.x is '8,0': it has always been a number (seen: 0 to 19)")
    ]
    assert learned(open_stream, {"x": 8, "y ": 16, "pair": "Cu-Zr"}) == [
        ("unknown_feature", "x.y  is 16: no observation has such a feature (they have x, y, pair)"),
        ("missing_feature", "x.y is missing: every observation has it (21 of 21, seen: 0 to 38)"),
    ]
    assert [one["x"] for one in open_stream.ok(OBSERVATIONS + "?after=20")["observations"]] == [
        {**SEEN, "x": "8,0"},
        {"x": 8, "y ": 16, "pair": "Cu-Zr"},
    ]


def test_the_same_mistake_is_told_each_time(open_stream):
    for n in (21, 22):
        text = "8,0" + "0" * n
        kinds = "it has always been a number" if n == 21 else f"it has been a number in 20 of {n - 1} observations"
        ((code, message),) = learned(open_stream, {**SEEN, "y": text})
        assert code == "other_kind"
        assert message.startswith(f"x.y is '{text}': {kinds} (seen: 0 to 38")
    assert learned(open_stream, {**SEEN, "y": "8,1"}) == [], (
        "texts are no mistake any more, where more than 5 % are texts"
    )


def test_what_a_stream_learns_from_is_no_mistake(open_stream):
    assert learned(open_stream, SEEN) == []
    assert learned(open_stream, {**SEEN, "x": 10**6, "pair": "Al-Al"}) == []
    assert learned(open_stream, {**SEEN, "new": 1}) == []
    assert learned(open_stream, {**SEEN, "new": 2}, {**SEEN, "x": -1}) == []


def test_of_many_learned_points_those_concerned_are_named(open_stream):
    found = open_stream.ok(
        OBSERVATIONS, {"observations": [{"x": x, "y": 1.0} for x in (SEEN, {**SEEN, "y": "?"}, SEEN)]}, 201
    )["warnings"]
    assert [(one["code"], one["feature"], one["points"]) for one in found] == [("other_kind", "y", [1])]


def test_the_first_points_of_a_stream_and_repeated_ones_are_told_nothing(api):
    api.stream("s")
    api.model("m", "s", "mean")
    assert learned(api, {"a": 1}) == []
    assert learned(api, {"a": "text"}) != []
    again = {"x": {"a": True}, "y": 1.0, "key": "again"}
    assert "warnings" in api.ok(OBSERVATIONS, again, 201)
    assert "warnings" not in api.ok(OBSERVATIONS, again, 201)
