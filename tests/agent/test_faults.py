"""Faults of the disk, of plug-ins and of the journal."""

import os
import resource
import shutil
import signal
import subprocess
import time

import pytest
from tailrace.agent.journal import Journal, JournalFailed

from tests.agent.contract_server import ContractServer
from tests.agent.sites import settled, site
from tests.slurm import until

pytestmark = pytest.mark.one_database


@pytest.fixture
def server():
    made = ContractServer()
    yield made
    made.close()


def test_a_line_that_was_cut_off_never_counted(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append({"step": "a"})
    whole = path.read_bytes()
    for torn in (b"{", b'{"step": "b"}', b"\xff\n", b"[]\n"):
        path.write_bytes(whole + torn)
        again = Journal(path)
        assert again.records == [{"step": "a"}]
        again.append({"step": "c"})
        assert [one["step"] for one in Journal(path).records] == ["a", "c"]
    path.write_bytes(whole[:-5] + b"\n" + whole)
    with pytest.raises(JournalFailed, match=r"line 2 of .* is not valid, and it is not the last"):
        Journal(path)


def test_a_record_that_could_not_be_written_leaves_nothing_behind(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append({"step": "a"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(JournalFailed, match="can't be written"):
            journal.append({"step": "b" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    journal.append({"step": "c"})
    assert [one["step"] for one in Journal(path).records] == ["a", "c"]
    journal.rewrite([{"step": "d"}])
    journal.append({"step": "e"})
    assert [one["step"] for one in Journal(path).records] == ["d", "e"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_full_or_read_only_disk_nothing_new_is_taken(server, tmp_path, small_disk):
    running = server.add(seconds=3)
    with site(tmp_path / "site", server.url, limits={"sync_seconds": 1}) as made:
        made.root.symlink_to(small_disk, target_is_directory=True)
        made.start()
        until(lambda: server.steps[running]["state"] == "running", made.log)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        new = server.add()
        until(lambda: "nothing new is taken" in made.log(), made.log)
        until(lambda: any("nothing new is taken" in one["text"] for one in server.messages), made.log)
        syncs = len(server.requests)
        until(lambda: len(server.requests) > syncs + 4, made.log)
        assert server.steps[new]["state"] in ("ready", "claimed")
        assert made.process.poll() is None
        filler.unlink()
        (one, two) = settled(server, running, new, made=made)
        # The job's script could not say how it ended, if the disk was full just then.
        assert one["state"] in ("done", "failed")
        assert two["state"] == "done"
        assert [len(list((small_disk / "steps" / step).glob("*/begun.*"))) for step in (running, new)] == [1, 1]
        assert made.stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        refused = made.command("run")
        assert (refused.returncode, "Read-only file system" in refused.stderr) == (1, True)
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


def test_a_plug_in_that_hangs_is_ended_and_starves_no_heartbeat(server, tmp_path):
    step = server.add(hang=True)
    with site(tmp_path, server.url, limits={"plugin_seconds": 3}) as made:
        made.start()
        until(lambda: server.steps[step]["state"] == "settling", made.log)
        syncs, started = len([one for one in server.requests if "sync" in one[1]]), time.monotonic()
        settled(server, step, made=made)
        beats = len([one for one in server.requests if "sync" in one[1]]) - syncs
    assert "did not end within 3 s" in server.steps[step]["results"][0]["reason"]
    assert beats >= (time.monotonic() - started) / 2


def test_a_plug_in_that_needs_too_much_memory_fails_alone(server, tmp_path):
    step = server.add()
    with site(tmp_path, server.url, limits={"plugin_memory_mb": 4000}, program="eats = true") as made:
        made.start()
        settled(server, step, made=made)
    assert "MemoryError" in server.steps[step]["results"][0]["reason"]


def test_a_disk_that_is_full_just_as_the_job_ends_costs_no_result(server, tmp_path, small_disk):
    filler = small_disk / "filler"
    step = server.add(fills=str(filler), seconds=1)
    with site(tmp_path / "site", server.url, limits={"sync_seconds": 1}) as made:
        made.root.symlink_to(small_disk, target_is_directory=True)
        made.start()
        until(lambda: "nothing new is taken" in made.log(), made.log)
        until(lambda: (made.folder_of(step) / "ended.part").exists(), made.log)
        assert not (made.folder_of(step) / "ended.json").exists()
        filler.unlink()
        (one,) = settled(server, step, made=made)
    assert (one["state"], one["results"][0]["values"]["answer"]["value"]) == ("done", 42.0)
    assert len(list((small_disk / "steps" / step).glob("*/begun.*"))) == 1


def test_a_clock_that_is_set_while_a_job_runs_teaches_no_wrong_wall_time(server, tmp_path):
    """The node's clock goes a day forward between two calls of `date`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "date").write_text(
        f"#!/bin/sh\nn=$(cat {tmp_path}/n 2>/dev/null || echo 0)\necho $((n + 86400)) >{tmp_path}/n\necho $n\n"
    )
    (programs / "date").chmod(0o755)
    step = server.add(seconds=1)
    environ = {"PATH": f"{programs}:{os.environ['PATH']}"}
    with site(tmp_path / "site", server.url, environ=environ) as made:
        made.start()
        (one,) = settled(server, step, made=made)
        until(lambda: len(server.observations) == 2, made.log)
    assert one["results"][0]["ended"] - one["results"][0]["began"] == 86400, "as the clock said"
    (learned,) = [one["y"] for one in server.observations if one["key"].endswith("/walltime")]
    assert 1 <= learned < 600
    assert learned != int(learned)


def test_a_program_that_is_upgraded_while_steps_run_and_wait(server, tmp_path):
    version = tmp_path / "version"
    version.write_text("1.0")
    runs, waits = server.add(seconds=3), server.add()
    program = f'version_file = "{version}"'
    with site(tmp_path / "site", server.url, at_once=1, program=program) as made:
        made.start()
        until(lambda: server.steps[runs]["state"] == "running", made.log)
        version.write_text("2.0")
        (one, two) = settled(server, runs, waits, made=made)
        assert "small is version 2.0 now, and was 1.0 when this agent started: start the agent again" in made.log()
    assert [(step["state"], step["version"]) for step in (one, two)] == [("done", "1.0"), ("done", "2.0")]
    assert [step["results"][0]["reason"] for step in (one, two)] == ["prepared by version 1.0, read by version 2.0", ""]


def test_a_parent_that_was_cleaned_while_its_child_waits_is_said_to_be(server, tmp_path):
    parent = server.add()
    with site(tmp_path, server.url) as made:
        made.start()
        settled(server, parent, made=made)
        cleaned, changed = server.add(), server.add()
        settled(server, cleaned, changed, made=made)
        shutil.rmtree(made.folder_of(cleaned))
        (made.folder_of(changed) / "answer.txt").write_text("7\n")
        children = [server.add(parents=[one]) for one in (cleaned, changed, parent)]
        (one, two, good) = settled(server, *children, made=made)
        assert [len(made.attempts(child)) for child in children] == [0, 0, 1]
    assert "is not here: it was cleaned, or ran elsewhere" in one["results"][0]["reason"]
    assert "is missing or has changed: run that step again" in two["results"][0]["reason"]
    assert [one["state"] for one in (one, two, good)] == ["failed", "failed", "done"]
