"""Runs and their artifacts are in backups, and files of artifacts are verified."""

import json

import pytest

from tests.operations.conftest import place
from tests.operations.test_backup_files import contents_of, failed, ok

pytestmark = pytest.mark.one_database

MAKE = """
from server.contents import contents
from server.streams import registry as streams
from server.tracking import artifacts, checks, experiments, feeding, feeds, links, runs, summaries, writing
run, _ = runs.put("a" * 32, "darcy", params={"lr": "0.1"}, tags={"team": "x"})
values = [0.5, "NaN", "Infinity", "-Infinity", 1e-320]
writing.log(run.uid, metrics=[checks.point("loss", step, step, value, "x") for step, value in enumerate(values)])
links.link(run.uid, "model", "runtime", 120)
with contents.receiving([b"field" * 1000]) as received:
    artifacts.put("plots/field.bin", received, run_id=run.pk)
runs.change(run.uid, {"status": "FINISHED"})
streams.create("losses", target_kind="number")
feed = feeds.create(run.experiment, streams.find("losses"), {"lr": "number"})
assert feeding.feed_all() == 1
"""
SHOW = """
import json
from server.core.json_codec import dumps
from server.tracking import experiments, feeds, histories, reading, runs
from server.tracking.models import Artifact
run = runs.find("a" * 32)
listed = reading.page(reading.selected(), reading.Columns(None)).runs
shown = [reading.described(run), listed, histories.page(histories.series(run, "loss")).points]
fed = feeds.find(run.experiment, "losses")
shown += [feeds.described([fed]), feeds.runs_of(fed, None, 10, 0)]
print(dumps([*shown, list(Artifact.objects.values("path", "sha256", "stored"))]).decode())
"""


def test_runs_and_artifacts_are_restored_exactly_and_a_missing_file_is_named(tmp_path):
    backup = tmp_path / "tailrace.gz"
    with place(tmp_path / "var", "sqlite") as server:
        ok(server.manage("migrate", "--verbosity", "0"))
        ok(server.manage("shell", "-c", MAKE))
        before = json.loads(ok(server.manage("shell", "-c", SHOW)).splitlines()[-1])
        ok(server.manage("backup", str(backup)))
    assert before[0]["metrics"]["loss"]["value"] == 1e-320
    assert [value for _, _, value in before[2]] == [0.5, "NaN", "Infinity", "-Infinity", 1e-320]
    with place(tmp_path / "again", "sqlite") as again:
        ok(again.manage("restore", str(backup)))
        assert json.loads(ok(again.manage("shell", "-c", SHOW)).splitlines()[-1]) == before
        assert "1 contents in folder" in ok(again.manage("verify_files"))
        contents_of(tmp_path / "again" / "files")[0].unlink()
        done = again.manage("verify_files")
        assert "1 are missing" in failed(done)
        assert f"artifact plots/field.bin of run {'a' * 32}" in done.stdout
