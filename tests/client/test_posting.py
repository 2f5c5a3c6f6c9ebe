"""A post never hurts the job: whatever the server, the network or the disk does, it ends in time and nothing is lost."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tailrace.errors import Conflict, Refused, TooMany, Unreachable, Unusable
from tailrace.keys import key_for
from tailrace.posting import post
from tailrace.server import Server
from tailrace.spool import Spool

from tests.client.listeners import HTML, answer, half_closing, listening, replies, silent, trickling
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

RECEIPT = answer("201 Created", b'{"first": 1, "last": 1, "accepted": 1, "duplicates": 0, "models": {}}')
X = {"x": 8, "y": 16}


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def kept(spool):
    return [json.loads(path.read_bytes())["observation"] for path in spool.waiting()]


def command(*arguments, environ=None, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "SLURM_"))}
    environment |= {"PYTHONPATH": str(ROOT / "client"), **(environ or {})}
    return subprocess.run(
        [sys.executable, "-m", "tailrace", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (replies(answer("500 Internal Server Error", b'{"error": {"code": "internal", "message": "a bug"}}')), "a bug"),
        (replies(answer("502 Bad Gateway", HTML, "Content-Type: text/html")), "502 Bad Gateway"),
        (replies(answer("302 Found", b"", "Location: http://login.example/")), "redirection to http://login.example/"),
        (replies(answer("200 OK", HTML)), "is this a Tailrace server"),
        (replies(answer("200 OK", b"[]")), "no Tailrace server answered"),
        (replies(answer("401 Unauthorized", b"")), "TAILRACE_TOKEN is not set"),
        (replies(answer("404 Not Found", b'{"error": {"code": "x", "message": "no stream named s"}}')), "no stream"),
        (half_closing, "no answer"),
        (silent, "in time"),
        (trickling, "in time"),
    ],
    ids=["500", "502 html", "redirect", "html", "json of others", "401", "404", "half-closed", "silent", "trickling"],
)
def test_what_is_not_delivered_is_kept(spool, behave, said):
    with listening(behave) as listener:
        began = time.monotonic()
        posted = post("s", X, 120.5, key="k", server=Server(listener.url), spool=spool, deadline=1)
        assert time.monotonic() - began < 30  # a bound for a hang, not a measurement
    assert not posted.delivered
    assert said in posted.reason
    assert kept(spool) == [{"x": X, "y": 120.5, "key": "k"}]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_what_can_not_be_reached_is_kept_for(spool, url):
    posted = post("s", X, 1.0, server=Server(url), spool=spool)
    assert isinstance(posted.error, Unreachable)
    assert len(kept(spool)) == 1


def test_a_server_that_comes_back_within_the_deadline_gets_it(spool):
    with listening(replies(answer("503 Service Unavailable"), answer("500 Oops"), RECEIPT)) as listener:
        posted = post("s", X, 1.0, key="k", server=Server(listener.url), spool=spool)
        assert posted.delivered
        assert len(listener.requests) == 3
        assert len({request.partition(b"\r\n\r\n")[2] for request in listener.requests}) == 1  # the same key each time
    assert spool.waiting() == []


def test_it_waits_as_long_as_it_is_asked_to(spool):
    busy = answer("429 Too Many Requests", b'{"error": {"code": "too_many", "message": "wait"}}', "Retry-After: 3600")
    with listening(replies(busy)) as listener:
        posted = post("s", X, 1.0, server=Server(listener.url), spool=spool, deadline=2)
        assert len(listener.requests) == 1  # an hour doesn't fit into the deadline
    assert isinstance(posted.error, TooMany)
    assert len(kept(spool)) == 1


def test_what_the_server_will_never_take_is_set_aside_with_the_reason(spool):
    body = b'{"error": {"code": "invalid", "message": "x.a is null: expected a number", "field": "x.a", "request_id": "r1"}}'
    with listening(replies(answer("400 Bad Request", body))) as listener:
        posted = post("s", X, 1.0, key="k", server=Server(listener.url), spool=spool)
        assert len(listener.requests) == 1  # no retry can help
    assert isinstance(posted.error, Refused)
    assert (posted.error.status, posted.error.code, posted.error.field) == (400, "invalid", "x.a")
    assert posted.error.request_id == "r1"
    assert spool.waiting() == []
    assert "x.a is null" in spool.refusal("s", "k").read_text()
    assert json.loads(posted.kept.read_bytes())["observation"]["y"] == 1.0


def test_a_conflict_is_a_conflict():
    with listening(replies(answer("409 Conflict", b"{}"))) as listener, pytest.raises(Conflict):
        Server(listener.url).request("POST", "/api/v1/models/", {})


def test_the_token_is_sent_and_never_shown(spool):
    with listening(replies(answer("403 Forbidden", b"{}"))) as listener:
        server = Server(listener.url, token="trc_secret")
        posted = post("s", X, 1.0, server=server, spool=spool)
        assert b"Authorization: Bearer trc_secret" in listener.requests[0]
    assert "trc_secret" not in repr(posted) + repr(server)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x", "expected something like"),
        ("http://", "expected something like"),
        ("http://x:99999", "0 to 65535"),
        ("http://user:secret@x", "TAILRACE_TOKEN"),
    ],
)
def test_an_address_that_is_none_is_said_to_be(url, said):
    with pytest.raises(Unusable, match=said) as caught:
        Server(url)
    assert "secret" not in str(caught.value)


def test_a_proxy_is_used_for_others_and_not_for_this_machine(monkeypatch, spool):
    with listening(replies(RECEIPT)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert post("s", X, 1.0, server=Server("http://tailrace.example:8080/base"), spool=spool).delivered
        target = b"POST http://tailrace.example:8080/base/api/v1/streams/s/observations/ HTTP/1.1"
        assert proxy.requests[0].startswith(target)
        with listening(replies(RECEIPT)) as listener:
            assert post("s", X, 1.0, server=Server(listener.url), spool=spool).delivered
            assert len(listener.requests) == 1
        assert len(proxy.requests) == 1
        monkeypatch.setenv("no_proxy", ".example")
        assert not post("s", X, 1.0, server=Server("http://tailrace.example:9"), spool=spool, deadline=0.5).delivered
        assert len(proxy.requests) == 1


def test_a_disk_that_is_full_leaves_the_observation_in_the_jobs_output(tmp_path):
    (tmp_path / "file").write_text("no directory")
    done = command(
        "post", "s", "x=8", "--y", "120.25", "--url", "http://127.0.0.1:9", "--spool", str(tmp_path / "file" / "spool")
    )
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    line = done.stderr[done.stderr.index("{") :]
    assert json.loads(line)["observation"]["y"] == 120.25


def test_a_spool_that_is_full_says_so(tmp_path):
    spool = Spool(tmp_path, size_mb=0)
    posted = post("s", X, 1.0, server=Server("http://127.0.0.1:9"), spool=spool)
    assert "tailrace flush" in posted.reason
    assert posted.kept is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["x=8", "--y", "1"], 1),
        (["--y", "1"], 2),
        (["x=8", "x=9", "--y", "1"], 2),
        (["x", "--y", "1"], 2),
        (["x=inf", "--y", "1"], 2),
    ],
)
def test_only_strict_fails(tmp_path, arguments, code):
    given = ["post", "s", *arguments, "--url", "http://127.0.0.1:9", "--spool", str(tmp_path / "spool")]
    easy, strict = command(*given), command(*given, "--strict")
    assert (easy.returncode, strict.returncode) == (0, code)
    assert len(easy.stderr.splitlines()) == len(strict.stderr.splitlines()) == 1


def test_closed_descriptors_hurt_nobody(tmp_path):
    arguments = f"-m tailrace post s x=8 --y 1 --url http://127.0.0.1:9 --spool {tmp_path / 'spool'}"
    script = f'"{sys.executable}" {arguments} <&- >&- 2>&-'
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    assert subprocess.run(["sh", "-c", script], env=environment, timeout=60).returncode == 0
    assert len(Spool(tmp_path / "spool").waiting()) == 1


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}, "slurm:c:7"),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"}, "slurm::7:restart2"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}, "slurm::7:task3"),
        ({"FLUX_JOB_ID": "f2", "TAILRACE_CLUSTER": "t"}, "flux:t:f2"),
        ({"LSB_JOBID": "5", "LSB_JOBINDEX": "0"}, "lsf::5"),
        ({"LSB_JOBID": "5", "LSB_JOBINDEX": "2"}, "lsf::5:task2"),
        ({"PBS_JOBID": "5.head", "PBS_ARRAY_INDEX": "1"}, "pbs::5.head:task1"),
    ],
)
def test_a_job_names_its_observation(environ, key):
    assert key_for(environ=environ) == key
    assert key_for("3", environ) == f"{key}:3"


def test_outside_a_job_each_call_is_an_observation():
    assert key_for(environ={}) != key_for(environ={})


def test_the_way_to_a_post_is_light():
    heavy = (
        "numpy",
        "river",
        "pandas",
        "matplotlib",
        "rich",
        "asyncio",
        "urllib.request",
        "requests",
        "tailrace.client",
    )
    program = (
        "import sys; from tailrace.cli import main; "
        "main(['post', 's', 'x=1', '--y', '2', '--url', 'http://127.0.0.1:9', '--spool', sys.argv[1]]); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(os.environ["TAILRACE_TEST_DIR"]) / "light")],
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
