"""The `tailrace` command as a whole: its help, its complaints, its exit codes."""

import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from tailrace import __version__
from tailrace.cli.command_list import COMMANDS

from tests.client.listeners import answer, listening, replies, silent
from tests.client.running import NOBODY, command, environment

pytestmark = pytest.mark.one_database


def test_alone_it_says_what_there_is_and_fails():
    done = command()
    assert done.returncode == 2
    assert "usage: tailrace COMMAND" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_its_help_names_every_command_and_setting(arguments):
    done = command(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for name, about in COMMANDS.items():
        assert re.search(rf"(?m)^  {name} +{re.escape(about)}$", done.stdout)
    for name in ("URL", "TOKEN", "SPOOL", "CA_FILE", "CLUSTER"):
        assert f"TAILRACE_{name}" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_an_example(name):
    done = command(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: tailrace {name}")
    assert re.search(rf"(?m)^ .*tailrace {name} ", done.stdout), "no example"
    assert max(map(len, done.stdout.splitlines())) <= 130
    assert "\x1b" not in done.stdout
    assert command("help", name).stdout == done.stdout


def test_its_version():
    assert command("--version").stdout == f"tailrace {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["psot"], "there is no command 'psot' (did you mean 'post'?)"),
        (["--versoin"], "there is no option '--versoin' (did you mean '--version'?)"),
        (["qqqq"], "there is no command 'qqqq'; `tailrace --help` lists them"),
        (["flush", "--dedline", "5"], "there is no option --dedline (did you mean '--deadline'?)"),
        (["flush", "extra"], "unrecognized arguments: extra"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
        (["predict", "m", "x"], "expected name=value"),
        (["models", "--url", "cluster"], "'cluster' is not a server's address"),
    ],
)
def test_what_is_mistyped_is_said_in_one_line_with_what_was_meant(arguments, said):
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_away_is_said_in_one_line():
    done = command("models", "--url", NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert "connection refused" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def terminal_output(*arguments, **environ):
    master, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", *arguments],
        env=environment(TERM="xterm", **environ), stdout=terminal, stderr=terminal, timeout=60, check=True,
    )  # fmt: skip
    assert done.returncode == 0
    os.write(terminal, b"<end>")
    said = b""
    while not said.endswith(b"<end>"):
        said += os.read(master, 65536)
    os.close(terminal)
    os.close(master)
    return said.decode()


@pytest.mark.parametrize("arguments", [["--help"], ["flush", "--help"]])
def test_headings_are_bold_on_a_terminal_unless_told_otherwise(arguments):
    assert "\x1b[1m" in terminal_output(*arguments)
    assert "\x1b" not in terminal_output(*arguments, NO_COLOR="1")


def test_help_is_as_wide_as_the_terminal():
    narrow = command("post", "--help", environ={"COLUMNS": "60"}).stdout
    options = narrow[narrow.index("options:") : narrow.index("examples:")]
    assert max(map(len, options.splitlines()[1:4])) <= 60


def test_whoever_has_seen_enough_of_its_output_may_leave():
    script = f'"{sys.executable}" -m tailrace completion bash | head -n 1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_output_that_can_not_be_written_is_an_error_in_one_line():
    with open("/dev/full", "w") as full:
        done = command("completion", "bash", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "tailrace: the output can't be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_closed_descriptors_are_no_error(closed):
    script = f'"{sys.executable}" -m tailrace --version {closed}'
    done = subprocess.run(["sh", "-c", script], env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_is_no_traceback():
    with listening(silent) as listener:
        given = [sys.executable, "-m", "tailrace", "models", "--url", listener.url]
        running = subprocess.Popen(given, env=environment(), stderr=subprocess.PIPE)
        assert listener.heard.wait(30)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert (running.returncode, said) == (130, b"")


def test_an_error_answer_is_told_with_its_reason():
    with listening(replies(answer("404 Not Found", b'{"error": {"message": "no model named m"}}'))) as listener:
        done = command("metrics", "m", "--url", listener.url)
    assert done.returncode == 1
    assert "no model named m" in done.stderr
