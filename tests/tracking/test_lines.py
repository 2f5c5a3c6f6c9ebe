"""Numbered lines of spools: all of them arrive, once, whoever sends them however often."""

import pytest

from server.tracking.models import DomainRecord, Metric
from tests.api_client import refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def metrics(step, **values):
    return {"kind": "metrics", "step": step, "time_ms": 1_000 + step, "values": values}


def history(run, key):
    found = run.api.ok(f"{run.path}history/?key={key}")
    return [(point["step"], point["value"]) for point in found["points"]]


def test_lines_that_arrive_again_are_ignored_and_a_gap_is_refused(run):
    lines = [metrics(step, loss=1 / (step + 1)) for step in range(10)]
    assert run.lines(0, *lines[:4]).json() == {"next": 4, "refused": []}
    assert run.lines(2, *lines[2:6]).json() == {"next": 6, "refused": []}
    assert run.lines(0, metrics(77, other=1.0)).json() == {"next": 6, "refused": []}
    gap = run.lines(7, *lines[7:])
    assert (gap.status_code, gap.json()["error"]["code"], gap.json()["next"]) == (409, "gap", 6)
    assert run.api.ok(f"{run.path}lines/?writer=w")["next"] == 6
    assert run.lines(6, *lines[6:]).json()["next"] == 10
    assert history(run, "loss") == [(step, 1 / (step + 1)) for step in range(10)]
    assert "other" not in run.shown()["metrics"]


def test_a_run_goes_on_from_another_node_and_from_a_fork(run):
    run.lines(0, metrics(0, loss=1.0), writer="node-1")
    run.lines(0, metrics(0, loss=1.0), metrics(1, loss=0.5), writer="node-2")
    run.lines(1, metrics(2, loss=0.25), writer="node-1")
    assert history(run, "loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]


def test_what_is_wrong_with_a_line_is_told_and_stops_no_other(run):
    answer = run.lines(
        0,
        metrics(0, a=1.0, b="NaN", c="nothing"),
        {"kind": "params", "values": {"lr": "0.1", "long": "x" * 9_000}},
        {"kind": "params", "values": {"lr": "0.2", "width": "64"}},
        {"kind": "nonsense"},
        [1],
        {"kind": "tags", "values": {"": "x", "team\x00": "y", "ok": "z"}},
        {"kind": "metrics", "step": "one", "time_ms": 5, "values": {"a": 2.0}},
        {"kind": "link", "to": "moon", "name": "x"},
        {"kind": "artifact", "path": "../up", "sha256": "0" * 64, "size": 1},
        {"kind": "status", "status": "DONE", "time_ms": 5},
        metrics(1, a="-Infinity"),
    ).json()
    assert answer["next"] == 11
    assert [line["number"] for line in answer["refused"]] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    why = [line["why"] for line in answer["refused"]]
    for said, words in zip(why, ("'c'", "'long'", "'lr' is '0.1' already", "nonsense", "kind", "", "step", "moon", "up", "DONE"), strict=True):  # fmt: skip
        assert words in said
    shown = run.shown()
    assert {key: point["value"] for key, point in shown["metrics"].items()} == {"a": "-Infinity", "b": "NaN"}
    assert shown["params"] == {"lr": "0.1", "width": "64"}
    assert shown["tags"] == {"ok": "z"}
    assert shown["status"] == "RUNNING"


def test_records_of_a_domain_are_kept_whole_and_their_numbers_are_metrics(run):
    values = {"operator_type": "FNO", "modes": 12, "input_resolution": [64, 64], "error": "Infinity"}
    record = {"kind": "domain", "domain": "neural_operator", "step": None, "time_ms": 7, "values": values}
    run.lines(0, record, record)
    (found,) = run.api.ok(f"{run.path}domains/")["records"]
    assert (found["values"], found["step"], DomainRecord.objects.count()) == (values, None, 1)
    shown = {key: point["value"] for key, point in run.shown()["metrics"].items()}
    assert shown == {"neural_operator/modes": 12.0, "neural_operator/error": "Infinity"}


def test_the_status_is_the_last_by_time_whenever_it_arrives(run):
    run.lines(0, {"kind": "status", "status": "FINISHED", "time_ms": 500})
    run.lines(0, {"kind": "status", "status": "RUNNING", "time_ms": 100}, writer="late")
    assert [run.shown()[name] for name in ("status", "ended_ms")] == ["FINISHED", 500]
    run.lines(1, {"kind": "status", "status": "RUNNING", "time_ms": 900})
    assert [run.shown()[name] for name in ("status", "ended_ms")] == ["RUNNING", None]


def test_lines_that_are_not_lines_change_nothing(run):
    for body, field in (
        ({"writer": "", "first": 0, "lines": []}, "writer"),
        ({"writer": "w" * 65, "first": 0, "lines": []}, "writer"),
        ({"writer": "w", "first": -1, "lines": []}, "first"),
        ({"writer": "w", "first": 0, "lines": {}}, "lines"),
        ({"writer": "w", "first": 0, "lines": [{}] * 5_001}, "lines"),
        ({"writer": "w", "first": 0}, "lines"),
    ):
        refused(run.send("POST", "lines/", body), 400, field)
    assert run.send("POST", "lines/", b'{"writer": "w", "first": 0, "lines": [NaN]}').status_code == 400
    assert not Metric.objects.exists()


def test_a_history_is_paged_exactly_and_its_parts_keep_the_extremes(run):
    values = [float(n % 17) for n in range(1_000)]
    values[500], values[501], values[502] = -99.0, "NaN", 99.0
    run.lines(0, *(metrics(step, x=value) for step, value in enumerate(values)))
    found, after = [], ""
    while after is not None:
        page = run.api.ok(f"{run.path}history/?key=x&limit=300{after and '&after=' + after}")
        found += [point["value"] for point in page["points"]]
        after = page["next"]
    assert found == values
    bins = run.api.ok(f"{run.path}history/?key=x&bins=20")["bins"]
    assert len(bins) == 20
    assert (min(one["min"] for one in bins), max(one["max"] for one in bins)) == (-99.0, 99.0)
    assert sum(one["points"] for one in bins) == 1_000
    assert sum(one["special"] for one in bins) == 1
    assert [one["last"] for one in bins] == [values[49 + 50 * n] for n in range(20)]
    assert (bins[0]["first_step"], bins[0]["last_step"], bins[-1]["last_ms"]) == (0, 49, 1_999)
    for query in ("key=x&after=1", "key=x&after=a:b:c:d", "key=x&after=1:1:nan:0", "key=x&bins=0", "key=y"):
        assert run.api.get(f"{run.path}history/?{query}").status_code in (400, 404)
