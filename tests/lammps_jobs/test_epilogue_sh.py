"""The epilogue in shell posts and keeps what the one in Python would, under the same key, and never hurts the job either."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tailrace.observations.idempotency_keys import key_for
from tailrace.spool.spool import Spool

from lammps_jobs import epilogue
from lammps_jobs.logs.log_reader import parse_log, read_log
from lammps_jobs.reported_logs import BESIDE
from tests.client.test_keys import JOBS, SLURM
from tests.lammps_jobs.peer import Peer, created, error
from tests.lammps_jobs.test_log import HEAD, OF_2014, PRINTED, RUN, WALL
from tests.lammps_jobs.test_log import ODD as ODD_LOGS
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

SCRIPT = ROOT / "lammps_jobs" / "epilogue.sh"
FIXTURES = Path(__file__).with_name("fixtures")
LOGS = sorted([*FIXTURES.glob("*.log"), *FIXTURES.glob("*.out")])
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
NOBODY = "http://127.0.0.1:9"
OWN = ("TAILRACE_", "SLURM_", "FLUX_", "LSB_", "LSF_", "PBS_", "XDG_STATE_HOME")


@pytest.fixture(autouse=True)
def _nothing_was_reported_before():
    """The notes that other tests left beside the logs are gone, and those of this one afterwards."""
    (FIXTURES / BESIDE).unlink(missing_ok=True)
    yield
    (FIXTURES / BESIDE).unlink(missing_ok=True)


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def _limit_files(room):
    """Have a write beyond so many bytes fail."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


@pytest.fixture(params=[SHELLS[0], *(pytest.param(shell, marks=pytest.mark.combinations) for shell in SHELLS[1:])])
def report(request, tmp_path, spool):
    """Runs the epilogue of a finished job; asserts what always holds: exit code 0."""

    def run(url, *options, log=FIXTURES / "mpi.log", code=0, room=None, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        environment |= {"TAILRACE_URL": url, "TAILRACE_SPOOL": str(spool), "TAILRACE_CONF": str(tmp_path / "no.conf")}
        environment |= {"TAILRACE_STREAM": "s", "TAILRACE_LOG": str(log), **variables}
        done = subprocess.run(
            [request.param, str(SCRIPT), *options],
            env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=False,
            preexec_fn=None if room is None else lambda: _limit_files(room), restore_signals=room is None,
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


AWKS = [
    words for words in (["gawk"], ["mawk"], ["busybox", "awk"], ["original-awk"])
    if shutil.which(words[0])
]  # fmt: skip


def facts(awk, text):
    """What the program in the script says of a log: facts, first values, all values of those with several."""
    program = SCRIPT.read_text().partition("READ_LOG='\n")[2].partition("'\n\nfact()")[0]
    done = subprocess.run(
        [*awk, program],
        input=text.encode(),
        capture_output=True,
        timeout=60,
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert done.stderr == b""
    found, first, several = {}, {}, {}
    for line in done.stdout.decode().splitlines():
        fact, _, value = line.partition(" ")
        if fact in ("v", "several"):
            name, _, value = value.partition(" ")
            (first if fact == "v" else several)[name] = value
        else:
            found[fact] = value
    return found, first, several


LOOP = "".join(
    f"region box block 0 $x 0 ${{y}}\nregion box block 0 {x} 0 ${{y}}\nregion box block 0 {x} 0 a b\n{RUN}"
    for x in range(2, 5)
)


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize(
    "text",
    [*(text for text, _ in ODD_LOGS.values()), HEAD + LOOP + WALL, OF_2014, *PRINTED],
    ids=[*ODD_LOGS, "loop", "2014", *"123"],
)
def test_every_awk_reads_odd_logs_as_python_does(awk, text):
    found, first, several = facts(awk, text)
    report = parse_log(text.encode().splitlines(keepends=True))
    same = (found["failure"].replace("of the input", "").split()[:1], first, several)
    assert same == (
        (report.failure or "").split()[:1],
        report.variables,
        {name: ", ".join(values) for name, values in report.several.items()},
    )
    for reason in (
        "two LAMMPS",
        "did 20 steps",
        "printed no Loop time",
        "no times",
        "`quit`",
        "writes the rest to another file",
        "writes the rest nowhere",
        "without atoms",
        "stopped with",
    ):
        assert (reason in found["failure"]) is (reason in (report.failure or ""))
    if report.completed:
        assert float(found["loop_time"]) == report.loop_time
        numbers = ("processes", "threads", "atoms", "steps")
        assert [int(found[name]) for name in numbers] == [getattr(report, name) for name in numbers]


def test_a_variable_with_several_values_is_refused_by_both(report, monkeypatch, tmp_path, spool, capfd):
    log = tmp_path / "loop.log"
    log.write_text(HEAD + LOOP + WALL)
    said = "x was 2, 3, 4: report each run, or give x=VALUE"
    assert said in report(NOBODY, "x", log=log).stderr
    assert by_python(monkeypatch, tmp_path, "x", log=log) == kept(spool) == []
    assert said in capfd.readouterr().err
    report(NOBODY, "x", "y", "x=3", log=log)
    assert [content for _, content in by_python(monkeypatch, tmp_path, "x", "y", "x=3", log=log)] == kept(spool)
    assert kept(spool)[0]["observation"]["x"] == {"processes": 1, "x": 3, "y": "a b"}


@pytest.mark.parametrize(
    "given",
    [
        "x:=1e400",
        "x:=-1e400",
        "x:=NaN",
        "x:=Infinity",
        "x:=null",
        "x:=[1]",
        "x=",
        "processes=true",
        "processes=3",
        'processes="2"',
    ],
)
def test_what_is_no_value_is_refused_by_both(report, monkeypatch, tmp_path, spool, given):
    assert "nothing posted" in report(NOBODY, given).stderr
    assert by_python(monkeypatch, tmp_path, given) == kept(spool) == []


@pytest.mark.parametrize(
    "given",
    [
        "processes=2.0",
        "processes:=2.0",
        "processes=2",
        "processes:=2e0",
        "x:=1e300",
        'x:="1e400"',
        "x= 8",
        "x=\t8.5 ",
        "x= a ",
        "x= 007",
        "x= ",
        'x=""',
        b"x=\xc3\xa9 \xff\xed\xa0\x80\xe2\x82".decode("utf-8", "surrogateescape"),
    ],
)
def test_what_is_a_value_is_taken_by_both(report, monkeypatch, tmp_path, spool, given):
    report(NOBODY, given)
    ((_, content),) = by_python(monkeypatch, tmp_path, given)
    assert kept(spool) == [content]
    assert content["observation"]["x"]["processes"] == 2
    if given in ("x= 8", "x=\t8.5 "):
        assert content["observation"]["x"]["x"] == float(given[2:])


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


@pytest.mark.parametrize("path", ["/ƒ2", "//ƒ9/ƒ2/", "/", "/ƒ22", ""])
def test_its_key_in_the_script_of_a_flux_batch_job_is_that_of_the_one_in_python(report, peer, tmp_path, path):
    flux = tmp_path / "flux"
    flux.write_text(f"#!/bin/sh\n[ \"$*\" = 'getattr jobid-path' ] && printf '%s' '{path}'\n")
    flux.chmod(0o755)
    script = {
        "FLUX_ENCLOSING_ID": "ƒ2",
        "FLUX_URI": f"local://{tmp_path}/local-0",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    report(peer.url, **script)
    assert peer.keys == [key_for(environ=script)]


def test_a_step_that_is_named_is_in_the_key_inside_and_outside_of_a_job(report, peer):
    report(peer.url, "--step", "one", **SLURM)
    report(peer.url, "--step=one", log=FIXTURES / "serial.log")
    assert peer.keys[0] == "slurm:c:7:one"
    assert (peer.keys[1].startswith("log:"), peer.keys[1].endswith(":one")) == (True, True)


ODD = [
    "a=45e7", "b=007", 'c="45e7"', 'd:="\\u0041"', "e:=-1.5e3", "f=+5", "g=.5", "h=1.", "i=-0.25", "j=true", "k:=true", 'l=""',
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
        "--source",
        "lines=one\nx=5\n",
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
    report(NOBODY, log=place / "log & lammps.log", TAILRACE_SPOOL=str(place / "sp ool"), TAILRACE_STREAM="9._-x")
    assert [one["stream"] for one in kept(place / "sp ool")] == ["9._-x"]
    report(peer.url, TAILRACE_STREAM="9._-x")
    assert peer.requests[0][0] == "/api/v1/streams/9._-x/observations/"


@pytest.mark.parametrize("name", ["a/../b", "..", "a b", "ö", "a" * 201, "-a", "a\nb"])
def test_a_name_that_no_stream_can_have_is_refused_by_both_and_the_result_is_named(
    report, peer, spool, name, tmp_path, monkeypatch, capfd
):
    done = report(peer.url, "x", TAILRACE_STREAM=name)
    assert (done.returncode, peer.requests) == (0, [])
    assert done.stderr.startswith("tailrace: nothing posted: ")
    assert "is not a stream's name: expected 1 to 200 letters, digits" in done.stderr
    assert "the result is still in" in done.stderr
    monkeypatch.setenv("TAILRACE_STREAM", name)
    monkeypatch.setenv("TAILRACE_URL", peer.url)
    monkeypatch.chdir(tmp_path)
    assert epilogue.main(["x", "--log", str(FIXTURES / "mpi.log")]) == 0
    said = capfd.readouterr().err
    assert "is not a stream's name: expected 1 to 200 letters, digits" in said
    assert f"the result is still in {FIXTURES / 'mpi.log'}: report it with the right --stream" in said
    assert peer.requests == []
    assert list(Spool(spool).waiting()) == []


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
    assert [path.name for path in spool.iterdir()] == [".reported"]


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


def test_what_the_server_warns_of_is_told(report, peer):
    unlike = [{"code": "other_kind", "message": "x.a is '8 \"\\0': it has always been a number", "field": "x.a"}]
    peer.answers = [(201, {}, json.dumps(json.loads(created(1)[2]) | {"warnings": unlike}).encode())]
    assert report(peer.url).stderr == "tailrace: x.a is '8 \"\\0': it has always been a number\n"


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
    ("url", "words"), [(NOBODY, "connection refused"), ("http://no-such-host.invalid", "looked up"), ("ftp://x", "is not a server's address")]
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


@pytest.mark.parametrize("room", [0, 100, 5000])
@pytest.mark.parametrize("compatible", ["", pytest.param("50", marks=pytest.mark.combinations)])
def test_on_a_full_disk_it_is_kept_whole_or_is_in_the_output(report, spool, room, compatible):
    """A file may hold so many bytes, as on a full disk. Older bash writes here-documents to files, which are full, too."""
    asked = ["--key", "k", "a=1", "b=2", "x", "--source", "c=3"]
    done = report(NOBODY, *asked, room=room, BASH_COMPAT=compatible)
    if room > 1000:
        (found,) = kept(spool)
    else:
        assert kept(spool) == list(spool.glob(".*.part")) == []
        found = json.loads(done.stderr[done.stderr.index("{") :])
    assert found["observation"]["x"] == {"processes": 2, "x": 2, "a": 1, "b": 2}
    assert found["observation"]["source"]["c"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-such", "x"], "no option --no-such"), (["--step"], "--step needs a value"), (["x=nan"], "x is nan: expected a finite"),
        (["x=1e999"], "x is 1e999"), (["=3"], "expected name=value"), (["nonsense"], "is not a variable in the log (seed x y z"),
        (["x=1", "x=2"], "x is given twice"), (["x:={"], "x is {"), (['x="a"b"'], "double quotes"), (["processes=7"], "ran on 2 processes, not on 7"),
        (["--deadline", "soon"], "is not a time"), (["--since", "2100-01-01T00:00:00"], "older than the job"), (["--since", "soon"], "is not a time"), (["--since", "1h"], "is not a time"),
        (["--since", "yesterday"], "is not a time"),
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


def test_a_step_without_a_name_is_none_for_both(report, monkeypatch, tmp_path, spool):
    report(NOBODY, "--step", "", "x=8")
    for options in (["--step", ""], []):
        assert by_python(monkeypatch, tmp_path, *options, "x=8")[-1][1] == kept(spool)[0]


def test_a_log_with_a_hole_is_refused_by_both(report, monkeypatch, tmp_path, spool):
    log = tmp_path / "holed.log"
    log.write_bytes((FIXTURES / "mpi.log").read_bytes().replace(b"Loop", b"\0" * 99 + b"\nLoop", 1))
    assert "two LAMMPS runs wrote to this file" in report(NOBODY, "x=8", log=log).stderr
    assert by_python(monkeypatch, tmp_path, "x=8", log=log) == kept(spool) == []


JOB_SCRIPT = """
export {job}
{python} -m lammps_jobs.epilogue --key p x=8 {since}
{shell} {script} --key s x=8 {since}
{step} {python} -m lammps_jobs.epilogue --key of-a-step x=8
{step} {shell} {script} --key of-a-step-too x=8
"""
SCHEDULERS = {
    "slurm": ("SLURM_JOB_ID=7 SLURM_TASK_PID=$$", "SLURM_STEP_ID=0"),
    "slurm, another machine": ("SLURM_JOB_ID=7 SLURM_TASK_PID=$$", "SLURM_TASK_PID=$((1 << 22))"),
    "lsf": ("LSB_JOBID=7 LS_JOBPID=$$", "LS_JOBPID=$((1 << 22))"),
    "pbs": ("PBS_JOBID=7.a PBS_TASKNUM=1", "PBS_TASKNUM=2"),
    "flux": ("FLUX_ENCLOSING_ID=f7", "FLUX_JOB_ID=f1"),
}


@pytest.mark.parametrize(("scheduler", "is_own", "since", "is_reported"), [
    *((scheduler, False, "", False) for scheduler in SCHEDULERS), ("slurm", True, "", True), ("pbs", True, "", True),
    ("flux", True, "", True),
    ("slurm", False, "--since 0", True),
])  # fmt: skip
def test_a_log_from_before_the_job_is_another_jobs(peer, tmp_path, scheduler, is_own, since, is_reported):
    log = tmp_path / "log.lammps"
    shutil.copyfile(FIXTURES / "mpi.log", log)
    if not is_own:
        os.utime(log, (1e9, 1e9))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)} | {
        "TAILRACE_URL": peer.url, "TAILRACE_STREAM": "s", "TAILRACE_SPOOL": str(tmp_path / "spool"), "TAILRACE_CONF": "/no",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}",
    }  # fmt: skip
    job, step = SCHEDULERS[scheduler]
    script = JOB_SCRIPT.format(
        python=sys.executable, shell=SHELLS[0], script=SCRIPT, since=since, job=job, step=f"env {step}"
    )
    (tmp_path / "job.sh").write_text(f"touch log.lammps{script}" if is_own else script)
    # A process of this name, as PBS's daemon or Flux's broker has, starts the script.
    daemon = tmp_path / ("flux-broker-0" if scheduler == "flux" else "pbs_mom")
    daemon.write_text("#!/bin/sh\nsh job.sh\nexit $?\n")
    daemon.chmod(0o755)
    done = subprocess.run([daemon], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert peer.keys == [*(["p", "s"] if is_reported else []), "of-a-step", "of-a-step-too"]
    assert done.stderr.count("is older than the job") == (0 if is_reported else 2)


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
