"""The epilogue as a job script runs it: a process of its own, against a real HTTP server that may misbehave."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lammps_jobs import job_report
from tests.lammps_jobs.peer import Peer, error

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).with_name("fixtures")
PATH = "/api/v1/streams/lammps-runtime/observations/"


@pytest.fixture
def nobody(peer: Peer) -> str:
    """An address where nothing listens."""
    closed = Peer()
    closed.close()
    return closed.url


@pytest.fixture
def epilogue(tmp_path: Path):
    """Runs the epilogue of a finished job; asserts what always holds: exit code 0."""
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.lammps")

    def run(url: str, *options: str, key: str = "job-1", env: dict[str, str] | None = None, bare=False, **kwargs):
        command = [sys.executable, "-m", "lammps_jobs.epilogue", *options]
        if "--flush" not in options and not bare:
            command += ["--stream", "lammps-runtime", "--key", key, "x=2", "y=2", "z=3"]
        own = ("TAILRACE_", "SLURM_", "FLUX_", "LSB_", "PBS_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environment |= {
            "TAILRACE_URL": url,
            "TAILRACE_SPOOL": str(tmp_path / "spool"),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}",
        }
        kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs
        done = subprocess.run(
            command, env=environment | (env or {}), cwd=tmp_path, text=True, timeout=60, check=False, **kwargs
        )
        assert done.returncode == 0
        return done

    return run


def spooled(tmp_path: Path) -> list[str]:
    return [json.loads(path.read_text())["observation"]["key"] for path in sorted((tmp_path / "spool").glob("*.json"))]


def test_it_posts_the_loop_time_with_its_features(peer, epilogue, tmp_path):
    done = epilogue(peer.url, "--receipt", "receipt.json", "--source", "cluster=here")
    path, headers, body = peer.requests[0]
    assert path == PATH
    assert "Authorization" not in headers
    assert body["x"] == {"processes": 2, "x": 2, "y": 2, "z": 3}
    assert body["y"] == 0.0158455
    assert body["key"] == "job-1"
    assert body["source"].items() >= {"program": "lammps", "atoms": 648, "steps": 20, "cluster": "here"}.items()
    assert json.loads((tmp_path / "receipt.json").read_text())["last"] == 1
    assert done.stdout == "tailrace: observation 1 of lammps-runtime: 0.0158455\n"
    assert done.stderr == ""


def test_it_shows_its_token(peer, epilogue):
    epilogue(peer.url, env={"TAILRACE_TOKEN": "s3cret"})
    assert peer.requests[0][1]["Authorization"] == "Bearer s3cret"


def test_it_spools_while_the_server_is_down_and_says_so_in_one_line(nobody, epilogue, tmp_path):
    done = epilogue(nobody)
    assert len(done.stderr.splitlines()) == 1
    assert "connection refused" in done.stderr
    assert spooled(tmp_path) == ["job-1"]


def test_the_next_epilogue_delivers_what_was_spooled(peer, epilogue, tmp_path):
    peer.answers = [error(404, "no stream yet")] * 2
    epilogue(peer.url, key="job-1")
    epilogue(peer.url, key="job-2")
    epilogue(peer.url, key="job-3")
    assert peer.keys == ["job-1", "job-2", "job-3", "job-1", "job-2"]
    assert spooled(tmp_path) == []


def test_what_was_meant_for_another_server_stays(peer, nobody, epilogue, tmp_path):
    epilogue(nobody, key="job-1")
    assert epilogue(peer.url, key="job-2").stderr == ""
    done = epilogue(peer.url, "--flush")
    assert done.stdout == "tailrace: delivered 0 from the spool, 0 waiting\n"
    assert done.stderr.startswith("tailrace: 1 meant for other servers left in ")
    assert peer.keys == ["job-2"]
    assert spooled(tmp_path) == ["job-1"]


def test_flush_delivers_the_spool_in_order(peer, epilogue, tmp_path):
    peer.answers = [error(404, "no stream yet")] * 3
    for key in ("b", "a", "c"):
        epilogue(peer.url, key=key)
    done = epilogue(peer.url, "--flush")
    assert peer.keys == ["b", "a", "c"] * 2
    assert done.stdout == "tailrace: delivered 3 from the spool, 0 waiting\n"
    assert spooled(tmp_path) == []


def test_flush_while_the_server_is_down_loses_nothing(nobody, epilogue, tmp_path):
    epilogue(nobody)
    done = epilogue(nobody, "--flush")
    assert "1 not delivered, kept in" in done.stderr
    assert spooled(tmp_path) == ["job-1"]


def test_it_tries_again_after_a_server_error(peer, epilogue, tmp_path):
    peer.answers = [error(500, "oops"), (502, {}, b"<html>Bad Gateway</html>")]
    assert epilogue(peer.url).stderr == ""
    assert peer.keys == ["job-1"] * 3
    assert spooled(tmp_path) == []


def test_it_gives_up_on_a_server_that_keeps_failing(peer, epilogue, tmp_path):
    peer.answers = [error(500, "the disk is full")] * 99
    done = epilogue(peer.url, "--deadline", "0.5")
    assert "the disk is full" in done.stderr
    assert len(peer.requests) > 1
    assert spooled(tmp_path) == ["job-1"]


def test_it_honours_a_short_retry_after(peer, epilogue, tmp_path):
    peer.answers = [error(503, "busy", **{"Retry-After": "1"})]
    assert epilogue(peer.url).stderr == ""
    assert len(peer.requests) == 2


def test_it_does_not_wait_for_a_retry_after_beyond_its_deadline(peer, epilogue, tmp_path):
    peer.answers = [error(503, "down for maintenance", **{"Retry-After": "3600"})]
    done = epilogue(peer.url, "--deadline", "1000")
    assert len(peer.requests) == 1
    assert "down for maintenance" in done.stderr
    assert spooled(tmp_path) == ["job-1"]


def test_a_server_that_trickles_its_answer_does_not_hold_it_beyond_the_deadline(peer, epilogue, tmp_path):
    """Without a total deadline this would not end before the server does, and the run would time out."""
    peer.slow = True
    done = epilogue(peer.url, "--deadline", "0.3")
    assert "did not answer in time" in done.stderr
    assert spooled(tmp_path) == ["job-1"]


def test_what_is_refused_for_good_is_set_aside_with_the_reason(peer, epilogue, tmp_path):
    peer.answers = [error(400, "x.z is unknown")]
    done = epilogue(peer.url)
    assert "refused for good" in done.stderr
    assert spooled(tmp_path) == []
    kept = sorted((tmp_path / "spool" / "refused").iterdir())
    assert [path.suffix for path in kept] == [".json", ".reason"]
    assert json.loads(kept[0].read_text())["observation"]["key"] == "job-1"
    assert "x.z is unknown" in kept[1].read_text()
    epilogue(peer.url, "--flush")
    assert len(peer.requests) == 1
    peer.answers = [error(400, "x.z is still unknown")]
    epilogue(peer.url)
    assert sorted((tmp_path / "spool" / "refused").iterdir()) == kept


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_what_can_be_put_right_elsewhere_waits_in_the_spool(peer, epilogue, tmp_path, status):
    peer.answers = [error(status, "no", Location="/elsewhere/")]
    assert "not delivered" in epilogue(peer.url).stderr
    assert spooled(tmp_path) == ["job-1"]


def test_where_the_spool_can_not_be_written_the_result_is_in_the_output(nobody, epilogue, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    done = epilogue(nobody)
    assert len(done.stderr.splitlines()) == 1
    assert '"y": 0.0158455' in done.stderr


def test_it_reads_features_from_the_log_where_it_is_told_only_their_names(peer, epilogue):
    epilogue(peer.url, "steps", "atoms", "seed")
    assert peer.requests[0][2]["x"] == {"processes": 2, "x": 2, "y": 2, "z": 3, "steps": 20, "atoms": 648, "seed": 1}


def test_what_the_environment_says_need_not_be_said_again(peer, epilogue, tmp_path):
    (tmp_path / "log.lammps").rename(tmp_path / "log.7")
    environment = {"TAILRACE_STREAM": "lammps-runtime", "TAILRACE_LOG": "log.7", "SLURM_JOB_ID": "12"}
    epilogue(peer.url, env=environment, bare=True)
    path, _, body = peer.requests[0]
    assert path == PATH
    assert body["key"].startswith("slurm:")
    assert body["source"]["job"] == body["key"]


def test_a_requeued_job_is_another_one_and_a_repeated_report_is_not(peer, epilogue, tmp_path):
    job = {"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "c1", "TAILRACE_STREAM": "lammps-runtime"}
    array = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    for run, more in enumerate(({}, {}, {"SLURM_RESTART_COUNT": "1"}, array)):
        if run > 1:  # another run of LAMMPS, which another log shows
            with open(tmp_path / "log.lammps", "a") as log:
                log.write("\n")
        epilogue(peer.url, env=job | more, bare=True)
    assert len(peer.keys) == 4
    assert peer.keys[0] == peer.keys[1]
    assert len(set(peer.keys)) == 3


def test_a_second_run_of_one_job_says_that_it_was_known_and_what_it_needs(peer, epilogue):
    known = json.dumps({"first": 1, "last": 1, "accepted": 0, "duplicates": 1, "models": {}}).encode()
    job = {"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "c1", "TAILRACE_STREAM": "lammps-runtime"}
    for options, hint in (([], True), (["--step", "production"], False), (["--key", "k"], False)):
        peer.answers.append((200, {}, known))
        said = epilogue(peer.url, *options, env=job, bare=True).stdout
        assert said.startswith("tailrace: observation 1 of lammps-runtime was known before, and nothing was added")
        assert ("--step NAME" in said) is hint


def test_outside_of_any_job_the_same_log_is_the_same_observation(peer, epilogue, tmp_path):
    stream = {"TAILRACE_STREAM": "lammps-runtime"}
    epilogue(peer.url, env=stream, bare=True)
    epilogue(peer.url, env=stream, bare=True)
    shutil.copy(FIXTURES / "serial.log", tmp_path / "log.lammps")
    epilogue(peer.url, env=stream, bare=True)
    assert peer.keys[0] == peer.keys[1] != peer.keys[2]


@pytest.mark.parametrize("began", ["2126-11-21T07:13:27", "4950000000"])
def test_a_log_that_is_older_than_the_job_is_not_its_own(peer, epilogue, began):
    assert "older than the job" in epilogue(peer.url, "--since", began).stderr
    assert peer.requests == []
    assert epilogue(peer.url, "--since", "Unknown").stderr == ""


@pytest.mark.parametrize("ahead", [-90.0, -2.5, 2.5, 90.0])
def test_a_file_servers_clock_may_differ_from_the_machines(tmp_path, monkeypatch, ahead):
    real = time.time
    monkeypatch.setattr(job_report, "time", SimpleNamespace(time=lambda: real() - ahead))
    assert job_report._clock_offset(tmp_path) == pytest.approx(ahead, abs=0.5)


def test_clocks_that_hardly_differ_and_a_directory_where_no_file_can_be_made_count_as_one_clock(tmp_path):
    assert job_report._clock_offset(tmp_path) == job_report._clock_offset(tmp_path / "nowhere") == 0.0


def test_a_log_that_is_written_after_the_jobs_end_is_another_jobs(peer, epilogue):
    now = time.time()
    assert "after the job ended, by another job" in epilogue(peer.url, "--until", str(now - 90)).stderr
    assert peer.requests == []
    for until in (str(now - 5), "Unknown"):  # the scheduler's clock may be a little behind
        assert epilogue(peer.url, "--until", until).stderr == ""


def test_copies_of_one_process_are_not_taken_for_a_job_of_many(peer, epilogue):
    """What `srun` starts without the right `--mpi`."""
    assert "ran on 2 processes, not on 4" in epilogue(peer.url, "processes=4").stderr
    assert peer.requests == []


@pytest.mark.parametrize("name", ["killed.log", "nan.log", "time-limit.log", "error.log"])
def test_a_job_that_did_not_complete_posts_nothing_and_says_why(peer, epilogue, tmp_path, name):
    shutil.copy(FIXTURES / name, tmp_path / "log.lammps")
    done = epilogue(peer.url)
    assert done.stderr.startswith("tailrace: nothing posted: log.lammps: ")
    assert len(done.stderr.splitlines()) == 1
    assert peer.requests == []
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-such-option"], "--no-such-option"),
        (["w"], "'w' is not a variable in the log (seed, x, y, z, potential, steps): give it as w=value"),
        (["=8"], "'=8' is not a feature: expected name=value"),
        (["--since", "soon"], "'soon' is not a time"),
        (["w=nan"], "w is nan: expected a finite number"),
        (["--deadline", "soon"], "'soon' is not a time"),
        (["--url", "cluster:8080"], "'cluster:8080' is not a server's address"),
        (["--log", "no.such.log"], "No such file or directory: no.such.log"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_never_fails_the_job(peer, epilogue, options, words):
    done = epilogue(peer.url, *options)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert peer.requests == []


def test_it_survives_output_that_can_not_be_written(peer, epilogue):
    with open("/dev/full", "w") as full:
        epilogue(peer.url, stdout=full, stderr=full)
    assert peer.keys == ["job-1"]


def test_it_needs_nothing_but_the_standard_library():
    """It runs in whatever Python a cluster has."""
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", "-m", "lammps_jobs.epilogue", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"},
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "argparse" in imported
    # copy asks for Jython's "org".
    assert imported - sys.stdlib_module_names - {"lammps_jobs", "tailrace", "imported package", "org"} == set()
