"""The epilogue in shell posts and keeps what the one in Python would, under the same key, and never hurts the job either."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tailrace.keys import key_for
from tailrace.spool import Spool

from lammps_jobs import epilogue
from lammps_jobs.log import read_log
from tests.client.test_keys import JOBS, SLURM
from tests.lammps_jobs.peer import Peer, created, error
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

SCRIPT = ROOT / "lammps_jobs" / "epilogue.sh"
FIXTURES = Path(__file__).with_name("fixtures")
LOGS = sorted([*FIXTURES.glob("*.log"), *FIXTURES.glob("*.out")])
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
NOBODY = "http://127.0.0.1:9"
OWN = ("TAILRACE_", "SLURM_", "FLUX_", "LSB_", "LSF_", "PBS_", "XDG_STATE_HOME")


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture(params=SHELLS)
def report(request, tmp_path, spool):
    """Runs the epilogue of a finished job; asserts what always holds: exit code 0."""

    def run(url, *options, log=FIXTURES / "mpi.log", code=0, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        environment |= {"TAILRACE_URL": url, "TAILRACE_SPOOL": str(spool), "TAILRACE_CONF": str(tmp_path / "no.conf")}
        environment |= {"TAILRACE_STREAM": "s", "TAILRACE_LOG": str(log), **variables}
        done = subprocess.run(
            [request.param, str(SCRIPT), *options],
            env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return subprocess.CompletedProcess(done.args, 0, done.stdout.decode(), done.stderr.decode())

    return run


def kept(spool):
    return [json.loads(path.read_bytes()) for path in Spool(spool).waiting()]


def by_python(monkeypatch, tmp_path, *options, log=FIXTURES / "mpi.log", **variables):
    """What the epilogue in Python keeps: its file's name without the time, and its content."""
    for name in list(os.environ):
        if name.startswith(OWN):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    place = tmp_path / "python"
    epilogue.main(["--stream", "s", "--log", str(log), "--url", NOBODY, "--spool", str(place), *options])
    return [(path.name.rpartition("-")[2], json.loads(path.read_bytes())) for path in Spool(place).waiting()]


# An awk reads it, whatever the shell: each log is read under one of them.
IN_TURN = [pytest.param(SHELLS[n % len(SHELLS)], log, id=log.name) for n, log in enumerate(LOGS)]


@pytest.mark.parametrize(("report", "log"), IN_TURN, indirect=["report"])
def test_it_reads_every_log_as_the_one_in_python_does(report, monkeypatch, tmp_path, spool, log):
    found = read_log(log)
    done = report(NOBODY, *found.variables, "steps", "threads", log=log)
    python = by_python(monkeypatch, tmp_path, *found.variables, "steps", "threads", log=log)
    assert [(path.name.rpartition("-")[2], json.loads(path.read_bytes())) for path in Spool(spool).waiting()] == python
    assert bool(python) is found.completed
    assert ("nothing posted" in done.stderr) is not found.completed
    assert len(done.stderr.splitlines()) == 1


LONG = "Schmelze ƒ – " * 30
MORE = [
    *(environ for environ, _ in JOBS),
    {**SLURM, "TAILRACE_STEP": "melt"}, {**SLURM, "TAILRACE_STEP": LONG}, {**SLURM, "TAILRACE_STEP": LONG[:189]},
    {**SLURM, "TAILRACE_STEP": LONG[:190]}, {**SLURM, "TAILRACE_STEP": LONG[:191]}, {**SLURM, "TAILRACE_STEP": 'a"b\\c $x `y`'},
    {**SLURM, "FLUX_URI": "local:///tmp/flux-Ab12/local-0", "FLUX_JOB_ID": "ƒ2mAQ"},
    {"FLUX_JOB_ID": "f1", "FLUX_URI": "ssh://node1/scratch/ada lovelace/flux-é/local-0"},
    {"FLUX_JOB_ID": "f1", "FLUX_URI": "local://"}, {"FLUX_JOB_ID": "f1", "FLUX_URI": "local:///local-0"},
    {"FLUX_JOB_ID": "f1", "FLUX_URI": "nothing"}, {"FLUX_JOB_ID": "ƒ9", "FLUX_JOB_ID_PATH": "//ƒ2//ƒ7/ƒ9/"},
    {"SLURM_JOB_ID": "4711", "SLURM_HET_JOB_ID": "4711", "SLURM_HET_SIZE": "2", "SLURM_CLUSTER_NAME": "c"},
    {"PBS_JOBID": "7.a", "LSB_JOBID": "8", "LSF_CLUSTER_NAME": "l", "SLURM_JOB_ID": "9", "FLUX_JOB_ID": "f3"},
]  # fmt: skip


@pytest.mark.parametrize("environ", MORE, ids=map(str, range(len(MORE))))
def test_its_key_is_that_of_the_one_in_python(report, peer, monkeypatch, tmp_path, environ):
    report(peer.url, **environ)
    ((_, content),) = by_python(monkeypatch, tmp_path, **environ)
    assert peer.keys == [content["observation"]["key"]]
    if not content["observation"]["key"].startswith("log:"):
        assert peer.keys == [key_for(environ=environ)]


def test_a_step_that_is_named_is_in_the_key_inside_and_outside_of_a_job(report, peer):
    report(peer.url, "--step", "one", **SLURM)
    report(peer.url, "--step=one")
    assert peer.keys[0] == "slurm:c:7:one"
    assert (peer.keys[1].startswith("log:"), peer.keys[1].endswith(":one")) == (True, True)


ODD = [
    "a=45e7", "b=007", 'c="45e7"', 'd:="\\u0041"', "e:=-1.5e3", "f=+5", "g=.5", "h=1.", "i=-0.25", "j=true", "k:=true", "l=",
    'm=say "hi"', "n=back\\slash\\n", "o=Zirkonium–Kupfer é", "p=$(touch owned) `id` ; & | * ?", "q=a=b", "r=tab\there", "ö ü=1",
    "s=1_000", "t=0x10", "u=123456789012345678901234567890", "v=-0", "w='quoted'", "x=9", "y",
]  # fmt: skip


def test_odd_values_arrive_as_those_of_the_one_in_python(report, peer, monkeypatch, tmp_path, spool):
    source = [
        "--source",
        "commit=45e7",
        "--source=lot=007",
        "--source",
        'path=C:\\a "b"',
        "--source",
        "n=12",
        "--source",
        "t=2.50",
    ]
    report(peer.url, *ODD, *source)
    ((_, content),) = by_python(monkeypatch, tmp_path, *ODD, *source)
    assert peer.requests[0][2] == content["observation"]
    assert not (tmp_path / "owned").exists()
    report(NOBODY, *ODD, *source)
    assert kept(spool) == [content]


def test_paths_and_streams_may_be_odd(report, peer, tmp_path, monkeypatch):
    place = tmp_path / 'it\'s a "Größe" $HOME'
    place.mkdir()
    shutil.copy(FIXTURES / "mpi.log", place / "log & lammps.log")
    report(NOBODY, log=place / "log & lammps.log", TAILRACE_SPOOL=str(place / "sp ool"), TAILRACE_STREAM="a b/ö.x")
    assert [one["stream"] for one in kept(place / "sp ool")] == ["a b/ö.x"]
    report(peer.url, TAILRACE_STREAM="a b/ö.x")
    assert peer.requests[0][0] == "/api/v1/streams/a%20b%2F%C3%B6%2Ex/observations/"


def test_it_posts_as_the_job_asks_and_says_one_line(report, peer, spool, tmp_path):
    done = report(
        peer.url, "--stream", "lammps-runtime", "x", "y=2", "--receipt", "receipt.json", TAILRACE_TOKEN="s3cret"
    )
    path, headers, body = peer.requests[0]
    assert path == "/api/v1/streams/lammps-runtime/observations/"
    assert headers["Authorization"] == "Bearer s3cret"
    assert body["x"] == {"processes": 2, "x": 2, "y": 2}
    assert (done.stdout, done.stderr) == ("tailrace: observation 1 of lammps-runtime: 0.0158455\n", "")
    assert json.loads((tmp_path / "receipt.json").read_text())["last"] == 1
    assert list(spool.iterdir()) == []


def test_a_sites_file_holds_the_server_and_the_token_which_is_on_no_command_line(report, peer, tmp_path):
    (tmp_path / "token").write_text("trc_0123\n")
    (tmp_path / "site.conf").write_text(f'TAILRACE_URL={peer.url}/\nTAILRACE_TOKEN="$(cat {tmp_path}/token)"\n')
    programs = tmp_path / "bin"
    programs.mkdir()
    curl = programs / "curl"
    curl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{tmp_path}/words\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    report("http://127.0.0.1:9", TAILRACE_CONF=str(tmp_path / "site.conf"), PATH=path)
    assert peer.requests[0][1]["Authorization"] == "Bearer trc_0123"
    assert "trc_" not in (tmp_path / "words").read_text()


def test_a_report_that_is_repeated_is_said_to_be_known(report, peer):
    known = {"first": 3, "last": 3, "accepted": 0, "duplicates": 1, "models": {}}
    peer.answers = [(201, {}, json.dumps(known).encode())]
    done = report(peer.url, **SLURM)
    assert "observation 3 of s was known before, and nothing was added (another run of the same job" in done.stdout


def test_a_stream_that_the_post_made_is_told(report, peer):
    new = json.loads(created(1)[2]) | {
        "new_stream": {"name": "s", "nearest": "r", "message": "new stream s: did you mean r?"}
    }
    peer.answers = [(201, {}, json.dumps(new).encode())]
    assert report(peer.url).stderr == "tailrace: new stream s: did you mean r?\n"


def test_it_tries_again_as_long_as_that_may_help(report, peer, spool):
    peer.answers = [
        error(500, "oops"),
        error(503, "busy", **{"Retry-After": "1"}),
        (502, {}, b"<html>Bad Gateway</html>"),
    ]
    assert report(peer.url).stderr == ""
    assert len(set(peer.keys)) == 1
    assert (len(peer.keys), kept(spool)) == (4, [])
    peer.answers = [error(503, "down for maintenance", **{"Retry-After": "3600"})]
    assert "down for maintenance" in report(peer.url, "--deadline", "1000").stderr
    assert len(peer.keys) == 5
    assert len(kept(spool)) == 1


def test_a_server_that_trickles_its_answer_does_not_hold_it_beyond_the_deadline(report, peer, spool):
    peer.slow = True
    done = report(peer.url, "--deadline", "0.6")  # else it would be ended from outside
    assert "did not answer in time" in done.stderr
    assert len(kept(spool)) == 1


@pytest.mark.parametrize(
    ("status", "body", "is_final"),
    [
        (400, {"error": {"code": "invalid", "message": 'x.a is "b": expected a "number"'}}, True),
        (413, {"error": {"code": "too_large", "message": "no"}}, True), (409, {"error": {"code": "conflict", "message": "no"}}, True),
        (409, {"error": {"code": "frozen", "message": "no"}}, False), (400, {"error": {"code": "bad_host", "message": "no"}}, False),
        (401, {"error": {"code": "unauthenticated", "message": "no"}}, False), (404, {"error": {"code": "not_found", "message": "no"}}, False),
        (400, "<html>Bad Request</html>", False), (415, {"code": "unsupported_media_type"}, False), (302, "", False),
        (200, "<html>Log in</html>", False), (200, {"ok": 1}, False), (405, "", False), (422, {"error": "invalid"}, False),
    ],
)  # fmt: skip
def test_only_what_tailrace_says_of_the_point_is_final(report, peer, spool, status, body, is_final):
    peer.answers = [(status, {}, (body if isinstance(body, str) else json.dumps(body)).encode())] * 9
    done = report(peer.url)
    assert len(peer.requests) == 1
    assert len(done.stderr.splitlines()) == 1
    if is_final:
        assert "refused for good" in done.stderr
        reason = body["error"]["message"]
        key = peer.keys[0]
        assert reason in Spool(spool).refusal("s", key).read_text()
        assert json.loads(Spool(spool).refusal("s", key).with_suffix(".json").read_bytes())["observation"]["key"] == key
    else:
        assert "not delivered" in done.stderr
    assert len(kept(spool)) == (0 if is_final else 1)


@pytest.mark.parametrize(
    ("url", "words"), [(NOBODY, "connection refused"), ("http://no-such-host.invalid", "looked up"), ("ftp://x", "no server's address")]
)  # fmt: skip
def test_where_there_is_no_server_it_is_kept(report, spool, url, words):
    assert words in report(url).stderr
    assert len(kept(spool)) == 1


def test_where_the_spool_is_full_or_can_not_be_written_the_result_is_in_the_output(report, spool, tmp_path):
    for variables in ({"TAILRACE_SPOOL": "/proc/no/spool"}, {"TAILRACE_SPOOL_MB": "0"}):
        done = report(NOBODY, "--key", "k", **variables)
        lost = json.loads(done.stderr[done.stderr.index("{") :])
        assert (lost["observation"]["key"], lost["observation"]["y"]) == ("k", 0.0158455)
    assert list(spool.glob("*")) == list(spool.glob(".*")) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-such", "x"], "no option --no-such"), (["--step"], "--step wants a value"), (["x=nan"], "x is nan: expected a finite"),
        (["x=1e999"], "x is 1e999"), (["=3"], "expected name=value"), (["nonsense"], "no variable that the log shows (seed x y z"),
        (["x=1", "x=2"], "x is given twice"), (["x:={"], "x is {"), (['x="a"b"'], "double quotes"), (["processes=7"], "ran on 2 processes, not on 7"),
        (["--deadline", "soon"], "is no time"), (["--since", "2100-01-01T00:00:00"], "older than the job"), (["--since", "soon"], "is no time"),
        (["--log", "/no/such"], "the log can't be read"), (["--log", "/"], "the log can't be read"), (["--stream", ""], "no stream is named"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_command_line_says_what_is_wrong_and_never_fails_the_job(report, spool, options, words):
    done = report(NOBODY, *options)
    assert done.stderr.startswith("tailrace: nothing posted: ")
    assert words in done.stderr
    assert kept(spool) == []


def test_its_own_log_is_reported_whatever_way_the_job_says_when_it_began(report, peer):
    for since in ("1000000000", "1000000000.5", "2001-09-09T01:46:40", "Unknown", ""):
        report(peer.url, "--since", since)
    assert len(peer.keys) == 5


@pytest.mark.parametrize("missing", ["curl", "sha256sum"])
def test_what_is_not_installed_costs_no_result_or_is_said(report, spool, tmp_path, missing):
    programs = tmp_path / "bin"
    programs.mkdir()
    for directory in ("/bin", "/usr/bin"):
        for program in Path(directory).iterdir():
            if program.name not in (missing, "openssl") and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    done = report(NOBODY, PATH=str(programs))
    if missing == "curl":
        assert "there is no curl" in done.stderr
        assert len(kept(spool)) == 1
    else:
        assert "give it a --key" in done.stderr


def test_a_script_that_is_killed_while_it_posts_leaves_the_observation_to_the_next_flush(peer, spool, tmp_path):
    peer.slow = True
    environment = os.environ | {"TAILRACE_URL": peer.url, "TAILRACE_SPOOL": str(spool), "TAILRACE_CONF": "/no"}
    options = ["--stream", "s", "--log", str(FIXTURES / "mpi.log"), "--key", "k", "--deadline", "30"]
    running = subprocess.Popen(["sh", str(SCRIPT), *options], env=environment, start_new_session=True)
    deadline = time.monotonic() + 30
    while not peer.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(running.pid, 9)
    running.wait()
    peer.slow = False
    whole = Peer()
    try:
        flushed(whole.url, spool, peer.url)
        assert whole.keys == ["k"]
    finally:
        whole.close()


def flushed(url, spool, kept_for):
    command = [sys.executable, "-m", "tailrace", "flush", "--url", url, "--from", kept_for, "--spool", str(spool)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT / "client")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_real_server_takes_it_once_whether_it_comes_from_a_shell_from_python_or_from_the_spool(
    report, sweep_server, spool, tmp_path, monkeypatch, request
):
    stream = f"from-{request.node.callspec.params['report']}"
    body = {
        "name": stream,
        "target": {"name": "t", "unit": "s"},
        "features": {"x": "number", "lot": "category", "processes": "number"},
    }
    assert sweep_server.post("/api/v1/streams/", body)[0] == 201
    job = {"SLURM_JOB_ID": stream, "TAILRACE_STREAM": stream}
    options = ("x", "lot=45e7", "--source", 'note=Größe "1"')
    report(NOBODY, *options, **job)
    done = report(sweep_server.url, *options, **job)
    assert done.stdout == f"tailrace: observation 1 of {stream}: 0.0158455\n"
    assert "known before" in report(sweep_server.url, *options, **job).stdout
    assert "delivered 1" in flushed(sweep_server.url, spool, NOBODY)
    by_python(monkeypatch, tmp_path, *options, **job)
    python = Spool(tmp_path / "python")
    ((_, content),) = [(path, json.loads(path.read_bytes())) for path in python.waiting()]
    assert sweep_server.post(f"/api/v1/streams/{stream}/observations/", content["observation"])[1]["duplicates"] == 1
    (one,) = sweep_server.get(f"/api/v1/streams/{stream}/observations/")[1]["observations"]
    assert (one["x"], one["y"]) == ({"processes": 2, "x": 2, "lot": "45e7"}, 0.0158455)
    assert one["source"]["note"] == 'Größe "1"'
    refused = report(sweep_server.url, "x=one", "lot=2", "--key", "wrong", **job)
    assert "refused for good" in refused.stderr
    assert "expected a number" in refused.stderr
