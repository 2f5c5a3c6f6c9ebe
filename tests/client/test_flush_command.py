"""`tailrace flush`, from a login node or cron."""

import json
import os
import pty
import re
import signal
import subprocess

import pytest
from tailrace.spool.spool import Spool

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
        assert json.loads(again.stdout) == {"delivered": 0, "refused": 0, "waiting": 0, "elsewhere": {}}
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
    assert f"2 not delivered, they remain in {tmp_path}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(kept(tmp_path)) == 2


def test_what_was_posted_to_another_server_goes_there_or_where_it_is_told_to(tmp_path):
    post = ["post", "s", "a=1", "--y", "1", "--spool", str(tmp_path), "--url"]
    with listening(replies(answer("404 Not Found"))) as production, listening(replies(receipt())) as test:
        command(*post, f"{production.url}/")
        command(*post, NOBODY)
        done = flush(tmp_path, test.url)
        assert done.returncode == 1
        assert done.stdout == f"tailrace: delivered 0, refused 0, 0 waiting in {tmp_path}\n"
        for address in (NOBODY, production.url):
            told = (
                f"1 for {address} remain in {tmp_path}: --url {address} delivers there, --from {address} delivers here"
            )
            assert told in done.stderr
        counts = json.loads(flush(tmp_path, test.url, "--json").stdout)
        assert counts == {"delivered": 0, "refused": 0, "waiting": 0, "elsewhere": {NOBODY: 1, production.url: 1}}
        assert test.requests == []
        moved = flush(tmp_path, test.url, "--from", f"{NOBODY.upper()}/", "--quiet")
        assert "delivered 1" in moved.stdout
        assert (moved.returncode, len(test.requests), len(kept(tmp_path))) == (1, 1, 1)
        assert len(production.requests) == 1


def test_an_address_that_can_not_be_used_stands_for_no_other_server(tmp_path):
    given = ["post", "s", "a=1", "--y", "1", "--spool", str(tmp_path), "--url", "http://ada:secret@tailrace:8080"]
    assert command(*given).returncode == 0
    with listening(replies(receipt())) as listener:
        assert flush(tmp_path, listener.url).returncode == 1
        assert listener.requests == []
        assert "secret" not in next(tmp_path.glob("*.json")).read_text()
        assert flush(tmp_path, listener.url, "--from", "tailrace:8080").returncode == 0
        assert len(listener.requests) == 1


def test_a_file_of_an_older_client_goes_to_the_server_of_the_flush(tmp_path):
    old = {"stream": "s", "observation": {"x": {"a": 1}, "y": 1, "key": "k"}}
    (tmp_path / "00000000000000000001-90-k.json").write_text(json.dumps(old))
    with listening(replies(receipt())) as listener:
        assert flush(tmp_path, listener.url).returncode == 0
        assert len(listener.requests) == 1


def test_what_was_refused_before_is_pointed_to(tmp_path):
    Spool(tmp_path).refuse("s", {"x": {"a": 1}, "y": 1, "key": "k"}, "because")
    done = flush(tmp_path, NOBODY)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 refused before, with the reasons in {tmp_path}/refused" in done.stdout
    assert flush(tmp_path, NOBODY, "--quiet").stdout == ""


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
    main = f"import sys; from tailrace.display import progress_bar; from tailrace.cli import main; progress_bar.SHOW_AFTER = {patience}; sys.exit(main())"
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
