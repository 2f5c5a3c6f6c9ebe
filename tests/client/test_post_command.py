"""`tailrace post` as the last line of a job script: whatever happens, exit code 0 and one line."""

import json
import os
import pty
import resource
import subprocess
from pathlib import Path

import pytest
from tailrace.posting.post import post
from tailrace.transport.server import Server

from tests.client.listeners import answer, listening, replies, silent
from tests.client.running import NOBODY, PYTHON, body_of, command, environment, kept, logged, receipt

pytestmark = pytest.mark.one_database

POINT = ("post", "s", "x=8", "--y", "120.25")
SLURM = {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def lines(done):
    return done.stderr.splitlines()


def test_it_posts_what_it_is_given(spool):
    given = ["post", "runs", "x=8", "pair=Cu-Zr", "ok=true", "--y", "-1.5e-3", "t=2.5", "--source", "input=melt.in"]
    with listening(replies(receipt(12))) as listener:
        done = command(*given, "--url", listener.url, "--spool", str(spool), environ=SLURM)
        sent = body_of(listener.requests[0])
    assert (done.returncode, done.stdout, done.stderr) == (0, "tailrace: observation 12 of runs: -0.0015\n", "")
    assert sent["x"] == {"x": 8, "pair": "Cu-Zr", "ok": True, "t": 2.5}
    assert sent["y"] == -0.0015
    assert sent["source"] == {"job": "slurm:c:7", "input": "melt.in"}
    assert sent["key"].startswith("slurm:c:7:")
    assert list(spool.glob(".*")) == []  # nothing is left behind


def test_posted_again_by_the_same_job_it_is_said_to_be_known(spool):
    with listening(replies(receipt(3, duplicates=1))) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool), "--step", "1", environ=SLURM)
        assert body_of(listener.requests[0])["key"] == "slurm:c:7:1"
    assert done.stdout == "tailrace: observation 3 of s: 120.25, known before\n"


def test_a_model_that_could_not_learn_it_is_named_on_standard_error(spool):
    told = {"prediction": None, "error": "OverflowError: (34, 'Numerical result out of range')"}
    with listening(replies(receipt(3, htc=told, linear={"prediction": 1.5}))) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool), "--strict")
    assert (done.returncode, done.stdout) == (0, "tailrace: observation 3 of s: 120.25\n")
    (line,) = lines(done)
    assert line.startswith("tailrace: model htc could not learn it (OverflowError")
    assert line.endswith("the observation is in the stream")


def test_what_can_not_be_delivered_is_kept_and_the_exit_code_is_0(spool):
    done = command(*POINT, "--key", "k", "--url", NOBODY, "--spool", str(spool))
    assert (done.returncode, done.stdout) == (0, "")
    assert len(lines(done)) == 1
    assert "connection refused" in done.stderr
    assert "tailrace flush" in done.stderr
    assert kept(spool) == [{"x": {"x": 8}, "y": 120.25, "key": "k", "written": {"x": {"x": "8"}, "y": "120.25"}}]


def test_settings_come_from_the_environment(spool):
    with listening(replies(receipt())) as listener:
        settings = {"TAILRACE_URL": listener.url, "TAILRACE_TOKEN": "trc_1", "TAILRACE_SPOOL": str(spool)}
        assert command(*POINT, environ=settings).stdout.startswith("tailrace: observation 1")
        assert b"Bearer trc_1" in listener.requests[0]


def test_without_a_spool_named_it_is_in_the_users_state_directory(tmp_path):
    command(*POINT, "--url", NOBODY, environ={"HOME": str(tmp_path)})
    assert len(kept(tmp_path / ".local" / "state" / "tailrace" / "spool")) == 1
    command(*POINT, "--url", NOBODY, environ={"XDG_STATE_HOME": str(tmp_path / "state")})
    assert len(kept(tmp_path / "state" / "tailrace" / "spool")) == 1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"TAILRACE_URL": "cluster:8080"}, "expected an address such as"),
        ({"TAILRACE_TOKEN": "two words"}, "token"),
        ({"TAILRACE_SPOOL_MB": "lots"}, "connection refused"),
        ({"TAILRACE_URL": "http://h.example", "HTTP_PROXY": "socks5://proxy:1"}, "is not a valid proxy"),
    ],
)
def test_a_setting_that_can_not_be_used_loses_nothing(spool, setting, said):
    done = command(*POINT, environ={"TAILRACE_URL": NOBODY, "TAILRACE_SPOOL": str(spool), **setting})
    assert done.returncode == 0
    assert len(lines(done)) == 1
    assert said in done.stderr
    assert len(kept(spool)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--y", "1"], "there is no feature"),
        (["x", "--y", "1"], "'x' is not a feature: expected name=value"),
        (["x=8", "x=9", "--y", "1"], "x is given twice"),
        (["x=inf", "--y", "1"], "x is inf: expected a finite number"),
        (["x=8"], "--y"),
        (["x=8", "--y", "nan"], "--y is nan"),
        (["x=8", "--y", "1", "--surce", "a=b"], "there is no option --surce (did you mean '--source'?)"),
        (["x=8", "--y", "1", "--source", "a"], "'a' is not a source"),
        (["x=8", "--y", "1", "--deadline", "soon"], "'soon' is not a time"),
    ],
)
def test_a_wrong_command_line_never_fails_the_job_and_what_was_given_is_told(spool, arguments, said):
    given = ["post", "s", *arguments, "--url", NOBODY, "--spool", str(spool)]
    easy, strict = command(*given), command(*given, "--strict")
    assert (easy.returncode, strict.returncode) == (0, 2)
    assert len(lines(easy)) == len(lines(strict)) == 1
    assert said in easy.stderr
    assert f"given: s {' '.join(arguments)}" in easy.stderr
    assert kept(spool) == []


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("503 Service Unavailable", 1, "not delivered"),
        ("401 Unauthorized", 1, "not delivered"),
        ("400 Bad Request", 4, "refused for good"),
    ],
)
def test_strict_tells_by_its_exit_code(spool, status, code, words):
    body = b'{"error": {"code": "invalid", "message": "x.a is null"}}'
    with listening(replies(answer(status, body))) as listener:
        given = [*POINT, "--url", listener.url, "--spool", str(spool), "--deadline", "1"]
        easy, strict = command(*given), command(*given, "--strict")
    assert (easy.returncode, strict.returncode) == (0, code)
    assert words in easy.stderr
    assert len(lines(easy)) == 1


def test_json_says_what_became_of_it(spool):
    with listening(replies(receipt(4))) as listener:
        done = command(*POINT, "--json", "--key", "k", "--url", listener.url, "--spool", str(spool))
    said = json.loads(done.stdout)
    assert (said["delivered"], said["key"], said["answer"]["last"], said["kept"]) == (True, "k", 4, None)
    said = json.loads(command(*POINT, "--json", "--url", NOBODY, "--spool", str(spool)).stdout)
    assert (said["delivered"], said["answer"]) == (False, None)
    assert Path(said["kept"]).is_file()
    assert "refused" in said["reason"]


def test_a_disk_that_is_not_there_leaves_the_observation_in_the_jobs_output(tmp_path):
    (tmp_path / "file").write_text("no directory")
    given = [
        "post",
        "s",
        "x=8",
        "name=two  blanks",
        "--y",
        "120.25",
        "--url",
        NOBODY,
        "--spool",
        str(tmp_path / "file"),
    ]
    done = command(*given)
    assert done.returncode == 0
    assert len(lines(done)) == 1
    whole = json.loads(done.stderr[done.stderr.index("{") :])
    assert whole["stream"] == "s"
    assert whole["observation"]["x"] == {"x": 8, "name": "two  blanks"}
    assert whole["observation"]["y"] == 120.25
    assert command(*given, "--strict").returncode == 3


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_disk_that_is_full_leaves_the_observation_in_the_jobs_output(spool):
    """A limit on the size of files: writing one fails in the middle."""
    done = command(*POINT, "--url", NOBODY, "--spool", str(spool), preexec_fn=limited)
    assert done.returncode == 0
    assert len(lines(done)) == 1
    assert json.loads(done.stderr[done.stderr.index("{") :])["observation"]["y"] == 120.25
    assert [path.name for path in spool.iterdir()] == []


def test_a_disk_that_is_full_is_no_reason_not_to_deliver(spool):
    with listening(replies(receipt())) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool), preexec_fn=limited)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tailrace: observation 1")


def test_a_read_only_spool_leaves_the_observation_in_the_jobs_output(tmp_path):
    """A file system mounted read-only, in a name space of its own."""
    (tmp_path / "spool").mkdir()
    post = f'"{PYTHON}" -m tailrace post s x=8 --y 120.25 --url {NOBODY} --spool spool'
    script = f"mount --bind spool spool && mount -o remount,ro,bind spool && exec {post}"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert len(lines(done)) == 1
    assert "Read-only file system" in done.stderr
    assert json.loads(done.stderr[done.stderr.index("{") :])["observation"]["y"] == 120.25


def test_a_spool_that_holds_what_it_may_says_so_in_one_line(spool):
    settings = {"TAILRACE_SPOOL_MB": "0.01", "TAILRACE_SPOOL": str(spool), "TAILRACE_URL": NOBODY}
    done = [command(*POINT, environ=settings) for _ in range(4)]
    assert [one.returncode for one in done] == [0] * 4
    assert "holds the 0.01 MB that it may: run `tailrace flush`" in done[-1].stderr
    assert json.loads(done[-1].stderr[done[-1].stderr.index("{") :])["observation"]["y"] == 120.25
    assert len(lines(done[-1])) == 1
    assert len(kept(spool)) == 3  # as many blocks of the disk as fit
    assert list(spool.glob(".*")) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("away", [False, True], ids=["delivered", "kept"])
def test_closed_descriptors_hurt_nobody(spool, closed, away):
    """Where standard error is closed, the next file opened gets its number: no message may land in it."""
    with listening(replies(receipt())) as listener:
        url = NOBODY if away else listener.url
        script = f'"{PYTHON}" -m tailrace post s x=8 --y 1 --key k --url {url} --spool {spool} {closed}'
        done = subprocess.run(["sh", "-c", script], env=environment(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0
        assert [(one["x"], one["y"], one["key"]) for one in kept(spool)] == ([({"x": 8}, 1, "k")] if away else [])
        assert [body_of(request)["key"] for request in listener.requests] == ([] if away else ["k"])


def test_output_that_can_not_be_written_hurts_nobody(spool):
    with open("/dev/full", "w") as full, listening(replies(receipt())) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool), stdout=full, stderr=full)
        assert done.returncode == 0
        done = command(*POINT, "--url", NOBODY, "--spool", str(spool), stdout=full, stderr=full)
        assert done.returncode == 0
    assert len(kept(spool)) == 1


def test_what_a_server_says_can_not_reach_into_the_terminal(spool):
    evil = answer("400 Bad Request", json.dumps({"error": {"message": "a\x1b]0;b\x07\r\nc"}}).encode())
    with listening(replies(evil)) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool))
    assert len(lines(done)) == 1
    assert "\x1b" not in done.stderr


def test_a_job_script_goes_on_and_keeps_its_own_exit_code(tmp_path, spool):
    script = tmp_path / "job.sh"
    script.write_text(f"set -e\n'{PYTHON}' -m tailrace post s x=8 --y 1 --deadline 0.5\necho on\nexit 7\n")
    with listening(silent) as listener:
        settings = environment(TAILRACE_URL=listener.url, TAILRACE_SPOOL=str(spool))
        done = subprocess.run(["sh", script], env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (7, "on\n")
    assert len(kept(spool)) == 1


def test_on_a_terminal_too_it_is_one_line(spool):
    master, terminal = pty.openpty()
    done = command(*POINT, "--url", NOBODY, "--spool", str(spool), stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said


def test_a_real_server_has_it_once_however_often_the_job_posts_it(serve, spool):
    server = serve(workers=1, threads=4)
    settings = {**SLURM, "TAILRACE_URL": server.url, "TAILRACE_SPOOL": str(spool)}
    for environ in (settings, settings, settings | {"SLURM_RESTART_COUNT": "1"}):
        assert command(*POINT, environ=environ).returncode == 0
    first, requeued = logged(server)
    assert requeued["key"] == first["key"].replace("slurm:c:7", "slurm:c:7:restart1")
    assert requeued["source"] == {"job": "slurm:c:7:restart1"}
    assert (first["x"], first["y"]) == ({"x": 8}, 120.25)


MADE = {
    **json.loads(receipt().partition(b"\r\n\r\n")[2]),
    "new_stream": {"name": "s", "nearest": None, "message": "new stream s: no model learns from it; did you mean r?"},
}


def test_a_stream_that_the_post_made_is_told(spool):
    made = answer("201 Created", json.dumps(MADE).encode(), "Content-Type: application/json")
    with listening(replies(made)) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool))
    assert (done.returncode, done.stdout) == (0, "tailrace: observation 1 of s: 120.25\n")
    assert done.stderr == "tailrace: new stream s: no model learns from it; did you mean r?\n"


def test_what_the_server_warns_of_is_told(spool):
    unlike = [
        {"code": "other_kind", "message": "x.a is '8,0': it has always been a number"},
        {"code": "more", "message": "and 2 more"},
    ]
    warned = {key: value for key, value in MADE.items() if key != "new_stream"} | {"warnings": unlike}
    made = answer("201 Created", json.dumps(warned).encode(), "Content-Type: application/json")
    with listening(replies(made)) as listener:
        done = command(*POINT, "--url", listener.url, "--spool", str(spool))
    assert (done.returncode, done.stdout) == (0, "tailrace: observation 1 of s: 120.25\n")
    assert done.stderr == "tailrace: x.a is '8,0': it has always been a number; and 2 more\n"


def test_and_by_a_flush_and_from_python(spool):
    made = answer("201 Created", json.dumps(MADE).encode(), "Content-Type: application/json")
    command(*POINT, "--url", NOBODY, "--spool", str(spool))
    with listening(replies(made)) as listener:
        done = command("flush", "--url", listener.url, "--from", NOBODY, "--spool", str(spool))
    assert done.stderr == "tailrace: new stream s: no model learns from it; did you mean r?\n"
    with listening(replies(made)) as listener:
        posted = post("s", {"x": 1}, 2, server=Server(listener.url, ""), spool=spool)
    assert posted.warning == MADE["new_stream"]["message"]
    assert posted.warning in repr(posted)
