"""Experiments and runs through the API: who may change them, lists, deletion and removal."""

import pytest

from server.operations.recount import recount
from server.streams.models import Usage
from server.tracking import clock, retention, run_quotas, summaries
from server.tracking.models import Artifact, Experiment, LatestMetric, Metric, Run, RunSummary
from tests.api_client import refused
from tests.tracking.conftest import Tracked

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def another(api, uid, **fields):
    made = Tracked(api, uid * 32)
    assert made.send("PUT", "", {"experiment": "darcy flow/ü", **fields}).status_code == 201
    return made


def listed(api, **asked):
    return [one["uid"] for one in api.ok("/api/v1/runs/search/", asked)["runs"]]


def test_a_run_is_created_once_and_belongs_to_who_created_it(run, ada, moderator):
    again = run.send("PUT", "", {"experiment": "darcy flow/ü", "name": "changed"})
    assert (again.status_code, again.json()["name"]) == (200, "")
    refused(run.send("PUT", "", {"experiment": "other"}), 409, "experiment", "other_experiment")
    others = Tracked(moderator, "b" * 32)
    assert others.send("PUT", "", {"experiment": "darcy flow/ü"}).status_code == 201
    theirs = Tracked(ada, "b" * 32)
    for answer in (
        theirs.send("PUT", "", {"experiment": "darcy flow/ü"}),
        theirs.lines(0, {"kind": "tags", "values": {"a": "b"}}),
        theirs.send("PATCH", "", {"name": "mine"}),
        theirs.send("DELETE", ""),
        theirs.send("PUT", "artifacts/x", b"x"),
    ):
        assert answer.status_code == 403, answer.content
    assert Tracked(moderator, run.uid).send("PATCH", "", {"name": "checked"}).json()["name"] == "checked"
    made = ada.post("/api/v1/runs/", {"experiment": "new one", "params": {"lr": "1"}, "tags": {"a": "b"}})
    assert (made.status_code, made.json()["params"], made.json()["tags"]) == (201, {"lr": "1"}, {"a": "b"})


def test_a_run_ends_and_runs_again(run):
    ended = run.send("PATCH", "", {"status": "FINISHED", "tags": {"a": "b"}, "params": {"lr": "1"}}).json()
    assert (ended["status"], ended["ended_ms"] is None) == ("FINISHED", False)
    assert Run.objects.get(uid=run.uid).summarized
    again = run.send("PATCH", "", {"status": "RUNNING", "tags": {"a": None}}).json()
    assert (again["ended_ms"], again["tags"], again["params"]) == (None, {}, {"lr": "1"})
    refused(run.send("PATCH", "", {"params": {"lr": "2"}}), 409, None, "changed_param")
    refused(run.send("PATCH", "", {"status": "DONE"}), 400, "status")


def test_lists_are_the_same_before_and_after_runs_are_summarized(run, ada):
    line = {"kind": "metrics", "step": 1, "time_ms": 1, "values": {"loss": "NaN", "a,b.c": 2.5}}
    run.lines(0, line, {"kind": "params", "values": {"lr": "0.1"}}, {"kind": "tags", "values": {"team": "x"}})
    asked = {"columns": ["metrics.a,b.c", "params.lr", "metrics.none"]}
    found = []
    for _ in range(2):
        whole, chosen = ada.ok("/api/v1/runs/")["runs"][0], ada.ok("/api/v1/runs/search/", asked)["runs"][0]
        found.append((whole, chosen))
        Run.objects.update(heard_ms=clock.now_ms() - 10**6)
        assert summaries.refresh_quiet() == (1 if len(found) == 1 else 0)
        for one in (whole, chosen):
            one.pop("heard_ms")
    assert found[0] == found[1]
    assert whole["metrics"] == {"a,b.c": 2.5, "loss": "NaN"}
    assert (chosen["metrics"], chosen["params"], chosen["tags"]) == ({"a,b.c": 2.5}, {"lr": "0.1"}, {})
    run.lines(3, {**line, "step": 2, "values": {"loss": 0.5}})
    assert ada.ok("/api/v1/runs/")["runs"][0]["metrics"]["loss"] == 0.5
    refused(ada.post("/api/v1/runs/search/", {"columns": ["loss"]}), 400, "columns[0]")


def test_runs_are_listed_in_pages_and_by_what_they_are(run, ada):
    for number, uid in enumerate("bcdef"):
        another(ada, uid, started_ms=1_000 + number // 2, name=f"run {uid}", parent=run.uid if uid > "d" else "")
    first = ada.ok("/api/v1/runs/search/", {"limit": 4})
    rest = ada.ok("/api/v1/runs/search/", {"limit": 4, "after": first["next"]})
    uids = [one["uid"] for one in first["runs"] + rest["runs"]]
    assert (uids, rest["next"]) == ([run.uid, *(uid * 32 for uid in "fedcb")], None)
    assert listed(ada, parent=run.uid) == ["f" * 32, "e" * 32]
    assert run.shown()["children"] == ["e" * 32, "f" * 32]
    assert listed(ada, name="run c") == ["c" * 32]
    assert listed(ada, statuses=["FINISHED"]) == []
    run.send("POST", "links/", {"to": "model", "name": "runtime", "at": 120})
    linked = ada.ok("/api/v1/runs/?linked_kind=model&linked_name=runtime")["runs"]
    assert [one["uid"] for one in linked] == [run.uid]
    refused(ada.get("/api/v1/runs/?linked_kind=model"), 400, "linked_kind")
    refused(ada.get("/api/v1/runs/?after=x"), 400, "after")
    refused(ada.get("/api/v1/runs/?experiment=none"), 404, "experiment")


def test_runs_are_filtered_and_ordered_and_pages_follow_the_order(run, ada):
    for number, uid in enumerate("bcdef"):
        made = another(ada, uid, started_ms=number, params={"width": str(number)})
        values = {"kind": "metrics", "step": 1, "time_ms": 1, "values": {"a loss": [0.5, "NaN", 0.1, 0.9, 0.3][number]}}
        made.lines(0, values, {"kind": "status", "status": "FINISHED", "time_ms": 9})
    assert listed(ada, filter="metrics.`a loss` < 0.6") == [uid * 32 for uid in "fdb"]
    asked = {"filter": "params.width != '3'", "order": ["metrics.`a loss` DESC"], "limit": 2}
    first = ada.ok("/api/v1/runs/search/", asked)
    rest = ada.ok("/api/v1/runs/search/", {**asked, "after": first["next"]})
    assert [one["uid"][0] for one in first["runs"] + rest["runs"]] == ["b", "f", "d", "c"]
    assert rest["next"] is None
    by_query = ada.ok("/api/v1/runs/?filter=attributes.status%20%3D%20'FINISHED'&order=params.width&limit=1")["runs"]
    assert [one["uid"] for one in by_query] == ["b" * 32]
    for wrong, field in (
        ({"filter": "loss <"}, "filter"),
        ({"order": ["metrics."]}, "order[0]"),
        ({"order": ["x"]}, "order[0]"),
    ):
        refused(ada.post("/api/v1/runs/search/", wrong), 400, field)


def test_an_experiment_is_renamed_deleted_and_restored(run, ada):
    number = run.shown()["experiment_id"]
    path = f"/api/v1/experiments/{number}/"
    changed = ada.patch(path, {"name": "darcy", "description": "flow", "tags": {"a": "b"}}).json()
    assert (changed["name"], changed["tags"], changed["runs"], changed["running"]) == ("darcy", {"a": "b"}, 1, 1)
    refused(ada.post("/api/v1/experiments/", {"name": "darcy"}), 409, "name", "exists")
    assert ada.delete(path).status_code == 204
    assert listed(ada) == []
    assert listed(ada, lifecycle="deleted") == [run.uid]
    assert ada.ok("/api/v1/experiments/")["experiments"] == []
    refused(ada.post("/api/v1/experiments/", {"name": "darcy"}), 409, "name", "exists")
    refused(run.lines(0, {"kind": "tags", "values": {}}), 409, "run", "deleted")
    assert ada.post(f"{path}restore/", None).status_code == 200
    assert listed(ada) == [run.uid]


def test_what_was_deleted_long_ago_is_removed_with_all_that_it_logged(run, ada):
    kept = another(ada, "b")
    for one in (run, kept):
        one.lines(0, *({"kind": "metrics", "step": n, "time_ms": n, "values": {"x": 1.0}} for n in range(50)))
        one.send("PUT", "artifacts/a.txt", one.uid.encode())
    assert Usage.objects.get(quota="run_artifact_bytes", token_id=0).used == 64
    run.send("DELETE", "")
    assert retention.remove_due() == 0
    Run.objects.filter(uid=run.uid).update(deleted_ms=clock.now_ms() - 31 * retention.DAY_MS)
    assert retention.remove_due() == 1
    assert list(Run.objects.values_list("uid", flat=True)) == [kept.uid]
    assert (Metric.objects.count(), LatestMetric.objects.count(), Artifact.objects.count()) == (50, 1, 1)
    assert Usage.objects.get(quota="run_artifact_bytes", token_id=0).used == 32
    run_quotas.POINTS.give_back(idle=-1)
    assert recount() == []
    ada.delete(f"/api/v1/experiments/{kept.shown()['experiment_id']}/")
    Run.objects.update(deleted_ms=1)
    Experiment.objects.update(deleted_ms=1)
    assert retention.remove_due() == 1
    assert not Experiment.objects.exists()
    assert not RunSummary.objects.exists()
