"""An agent on this machine: what it does with steps, and what it says."""

import json
import os

import pytest

from tests.agent.contract_server import ContractServer
from tests.agent.sites import settled, site
from tests.slurm import until

pytestmark = pytest.mark.one_database


@pytest.fixture
def server():
    made = ContractServer()
    yield made
    made.close()


def test_steps_run_and_their_results_come_back(server, tmp_path):
    step = server.add(analyses=["double", "broken", "after"], answer=7)
    child = server.add(parents=[step])
    bad = server.add(answer=13)
    failed = server.add(code=3)
    unconverged = server.add(converged=False)
    with site(tmp_path, server.url) as made:
        made.start()
        (one, _, refused, three) = settled(server, step, child, bad, failed, made=made)
        assert [state for state in one["history"] if state != "running"] == [
            "claimed",
            "permitted",
            "queued",
            "settling",
            "done",
        ]
        result = one["results"][0]
        assert result["values"] == {"answer": {"value": 7.0, "unit": "eV"}}
        assert (result["exit_code"], result["report"]) == (0, "The answer is\n7.0 eV.")
        assert [a["report"] for a in result["analyses"]] == ["Twice the answer, in µeV²?", "", ""]
        assert result["ended"] >= result["began"]
        assert [(a["name"], a["state"]) for a in result["analyses"]] == [
            ("double", "done"),
            ("broken", "failed"),
            ("after", "skipped"),
        ]
        assert {b"7.0\n", b"twice"} <= set(server.files.values())
        until(lambda: one["log"] != b"", lambda: made.log())
        assert one["log"] == b"started\n\x1b[31mred\n"
        assert (made.folder_of(child) / "from_parent.txt").read_text() == "7.0\n"
        assert refused["state"] == "failed"
        assert "answer is 13: expected another number" in refused["results"][0]["reason"]
        assert made.attempts(bad) == []
        assert (three["state"], three["results"][0]["exit_code"]) == ("failed", 3)
        until(lambda: server.steps[unconverged]["state"] == "done", made.log)
        assert [one["state"] for one in server.steps[unconverged]["results"]] == ["unconverged", "done"]
        until(lambda: len(server.observations) >= 6, lambda: str(server.observations))
        keys = sorted(one["key"] for one in server.observations if one["key"].startswith(step))
        assert keys == [f"{step}/answer", f"{step}/walltime"]
        assert made.stop() == 0
    for one in (step, child, failed):
        assert len(made.attempts(one)) == 1


def test_a_killed_agent_finds_its_jobs_again(server, tmp_path):
    step = server.add(seconds=2)
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: server.steps[step]["state"] == "running", made.log)
        made.kill()
        made.start()
        settled(server, step, made=made)
    assert server.steps[step]["state"] == "done"
    assert len(made.attempts(step)) == 1


def test_the_server_may_be_away_while_jobs_run(server, tmp_path):
    step = server.add(seconds=1)
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: server.steps[step]["state"] == "running", made.log)
        server.down = True
        until(lambda: (made.folder_of(step) / "results.json").exists(), made.log)
        made.kill()
        made.start()
        until(lambda: made.log().count("no contact") >= 1, made.log)
        server.down = False
        settled(server, step, made=made)
    assert server.steps[step]["state"] == "done"


def test_a_step_is_cancelled_while_it_runs_and_before(server, tmp_path):
    running, waiting = server.add(seconds=60), server.add()
    with site(tmp_path, server.url, at_once=1) as made:
        made.start()
        until(lambda: server.steps[running]["state"] == "running", made.log)
        server.steps[running]["cancel"] = server.steps[waiting]["cancel"] = True
        settled(server, running, made=made)
        assert server.steps[running]["state"] == "cancelled"
        until(lambda: "superseded" in made.log() or server.steps[waiting]["state"] == "cancelled", made.log)
    assert made.attempts(waiting) == []


def test_a_job_over_its_time_limit_fails(server, tmp_path):
    step = server.add(seconds=60)
    server.steps[step]["resources"]["seconds"] = 1
    with site(tmp_path, server.url) as made:
        made.start()
        (one,) = settled(server, step, made=made)
    assert one["state"] == "failed"
    assert "exit code 143" in one["results"][0]["reason"]


def test_a_killed_job_is_a_failure_after_two_answers(server, tmp_path):
    step = server.add(seconds=60)
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: server.steps[step]["state"] == "running", made.log)
        number = json.loads(
            next(line for line in reversed((made.root / "journal.jsonl").read_text().splitlines()) if "number" in line)
        )
        os.killpg(int(number["number"].partition(".")[0]), 9)
        (one,) = settled(server, step, made=made)
    assert one["state"] == "failed"
    assert "no longer in the queue" in one["results"][0]["reason"]
    assert one["results"][0]["exit_code"] is None


def test_a_root_has_one_agent(server, tmp_path):
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: server.epoch == 1, made.log)
        second = made.command("run")
        assert second.returncode == 1
        assert "another agent works in" in second.stderr


def test_a_newer_session_ends_the_older_agent_and_leaves_its_jobs(server, tmp_path):
    step = server.add(seconds=60)
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: server.steps[step]["state"] == "running", made.log)
        server.epoch += 1
        assert made.process.wait(60) == 1
        assert "the jobs go on" in made.log()


def test_in_maintenance_nothing_new_is_taken(server, tmp_path):
    server.state = "maintenance"
    with site(tmp_path, server.url) as made:
        made.start()
        until(lambda: len([one for one in server.requests if one[1].endswith("/sync/")]) > 3, made.log)
        step = server.add()
        count = len(server.requests)
        until(lambda: len(server.requests) > count + 3, made.log)
        assert server.steps[step]["state"] == "ready"
        server.state = "enabled"
        settled(server, step, made=made)


def test_files_are_cleaned_when_the_server_says_so(server, tmp_path):
    step = server.add()
    with site(tmp_path, server.url) as made:
        made.start()
        settled(server, step, made=made)
        folder = made.folder_of(step)
        outside = tmp_path / "outside.txt"
        outside.write_text("mine")
        (folder / "link").symlink_to(outside)
        (folder / "big").mkdir()
        (folder / "big" / "file").write_text("x" * 1000)
        led_out = made.root / "steps" / "led-out"
        led_out.mkdir()
        (led_out / "1").symlink_to(tmp_path)
        named = [("led-out", 1), ("unknown", 3), (step, 1), ("../..", 1), (7, None)]
        server.clean = [{"step": one, "fence": fence} for one, fence in named]
        until(lambda: not (folder / "output.txt").exists(), made.log)
        until(lambda: "MB were deleted" in made.log(), made.log)
        until(lambda: server.cleaned == {step, "unknown"}, made.log)  # otherwise it would be named for ever
        assert "step led-out, fence 1 can't be cleaned" in made.log()
    assert outside.read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == [
        "answer.txt", "begun.1", "ended.json", "job.sh", "results.json", "settle.json", "step.json",
    ]  # fmt: skip
    assert list((made.root / "trash").iterdir()) == []


def test_a_long_log_is_sent_in_part(server, tmp_path):
    step = server.add(writes=5000)
    with site(tmp_path, server.url) as made:
        made.start()
        (one,) = settled(server, step, made=made)
        size = len(b"started\n\x1b[31mred\n") + 5000
        until(lambda: one["log_next"] == size, made.log)
    assert len(one["log"]) == 1000
    assert one["log"].startswith(b"started\n")


def test_check_says_what_is_missing(server, tmp_path):
    with site(tmp_path, server.url, program='[programs.other]\nmodule = "no_such:Thing"') as made:
        done = made.command("check")
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        assert sum(line.startswith("MISSING") for line in lines) == 1
        assert "program other" in lines[-1]
        assert "ok       program small: Small 1.0" in lines
        (tmp_path / "token").chmod(0o644)
        assert "chmod 600" in made.command("check").stdout
