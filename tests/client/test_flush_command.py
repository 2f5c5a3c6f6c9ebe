"""`tailrace flush`, from a login node or cron."""

import json
import os
import pty
import re
import signal
import subprocess

import pytest
from tailrace.spool import Spool

from tests.client.listeners import answer, listening, replies
from tests.client.running import NOBODY, PYTHON, command, environment, kept, receipt

pytestmark = pytest.mark.one_database


def fill(directory, count, start=0):
    for n in range(start, start + count):
        Spool(directory).put("s", {"x": {"a": n}, "y": float(n), "key": f"k{n}"})


def flush(directory, url, *options, **more):
    return command("flush", "--spool", str(directory), "--url", url, *options, **more)


def test_it_tells_what_it_did(tmp_path):
    fill(tmp_path, 3)
    with listening(replies(receipt())) as listener:
        done = flush(tmp_path, listener.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"tailrace: delivered 3, refused 0, 0 waiting in {tmp_path}\n"
        again = flush(tmp_path, listener.url, "--json")
        assert json.loads(again.stdout) == {"delivered": 0, "refused": 0, "waiting": 0}
        quiet = flush(tmp_path, listener.url, "--quiet")
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_a_directory_that_is_not_there_is_a_typing_error(tmp_path):
    done = flush(tmp_path / "spol", NOBODY, "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--spool: there is no directory {tmp_path / 'spol'}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_away_leaves_all_where_it_is(tmp_path):
    fill(tmp_path, 2)
    done = flush(tmp_path, NOBODY)
    assert done.returncode == 1
    assert f"2 not delivered, kept in {tmp_path}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(kept(tmp_path)) == 2


def test_what_is_refused_for_good_is_told_with_its_place_and_the_rest_is_delivered(tmp_path):
    fill(tmp_path, 1)
    with listening(
        replies(answer("400 Bad Request", b'{"error": {"code": "invalid", "message": "y is wrong"}}'))
    ) as listener:
        done = flush(tmp_path, listener.url)
    assert done.returncode == 4
    assert "y is wrong" in done.stderr
    assert str(tmp_path / "refused") in done.stderr
    assert kept(tmp_path) == []


def test_a_deadline_that_passes_leaves_the_rest(tmp_path):
    fill(tmp_path, 3)
    done = flush(tmp_path, NOBODY, "--deadline", "0.000001")
    assert done.returncode == 1
    assert "run it again" in done.stderr
    assert len(kept(tmp_path)) == 3


def test_settings_that_can_not_be_used_are_said_to_be(tmp_path):
    assert flush(tmp_path, "cluster:8080").returncode == 2
    assert flush(tmp_path, NOBODY, environ={"TAILRACE_SPOOL_MB": "lots"}).returncode == 2
    (tmp_path / "file").write_text("")
    done = flush(tmp_path / "file", NOBODY)
    assert done.returncode == 1
    assert "can't be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_stays_until_it_is_told_to_end(tmp_path):
    fill(tmp_path, 2)
    with listening(replies(receipt())) as listener:
        given = ["flush", "--watch", "0.05", "--spool", str(tmp_path), "--url", listener.url]
        running = subprocess.Popen(
            [PYTHON, "-m", "tailrace", *given], env=environment(), stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        assert "delivered 2" in running.stdout.readline()
        fill(tmp_path, 3, start=2)
        told = running.stdout.readline()
        while sum(map(int, re.findall(r"delivered (\d+)", told))) < 3:  # it may have looked between two of them
            told += running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
        running.stdout.close()
    assert kept(tmp_path) == []


def test_a_server_that_comes_back_gets_all_from_the_one_that_stays(tmp_path):
    fill(tmp_path, 2)
    with listening(replies(answer("503 Service Unavailable", b"", "Retry-After: 60"), receipt())) as listener:
        given = ["flush", "--watch", "0.05", "--spool", str(tmp_path), "--url", listener.url, "--deadline", "5"]
        running = subprocess.Popen(
            [PYTHON, "-m", "tailrace", *given],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        assert "2 not delivered" in running.stderr.readline()
        assert "delivered 2" in running.stdout.readline()
        running.terminate()
        assert running.wait(30) == 0
        running.stdout.close()
        running.stderr.close()


@pytest.mark.parametrize("patience", [0.0, 3600.0], ids=["long", "short"])
def test_a_terminal_is_shown_how_far_it_is_once_it_takes_a_while(tmp_path, patience):
    fill(tmp_path, 5)
    main = f"import sys; from tailrace.cli import flush, main; flush.PATIENCE = {patience}; sys.exit(main())"
    master, terminal = pty.openpty()
    with listening(replies(receipt())) as listener:
        given = ["flush", "--spool", str(tmp_path), "--url", listener.url]
        done = subprocess.run(
            [PYTHON, "-c", main, *given], env=environment(), stdout=subprocess.PIPE, stderr=terminal, timeout=60
        )
    os.write(terminal, b"end")
    said = b""
    while not said.endswith(b"end"):
        said += os.read(master, 65536)
    os.close(terminal)
    os.close(master)
    assert done.returncode == 0
    assert (b"of 5" in said) is (patience == 0)
    assert said == b"end" or said.endswith(b"\x1b[Kend")  # nothing of it stays
