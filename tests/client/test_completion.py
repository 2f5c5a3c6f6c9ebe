"""Completion, in the shells themselves."""

import json
import os
import re
import shutil
import subprocess

import pexpect
import pytest
from tailrace.cli.command_list import COMMANDS, parser_of
from tailrace.cli.name_completion import kind_of, names_after
from tailrace.transport.server import Server

from tests.client.listeners import answer, listening, replies, silent
from tests.client.running import NOBODY, PYTHON, command, environment

pytestmark = pytest.mark.one_database


def shell(name):
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is not installed: apt-get install {name}"
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    return path


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The script of each shell, as a file."""
    directory = tmp_path_factory.mktemp("completion")
    for name in ("bash", "zsh", "fish"):
        done = command("completion", name)
        assert (done.returncode, done.stderr) == (0, "")
        (directory / name).write_text(done.stdout)
    return directory


def in_bash(scripts, *words, directory=None, environ=None):
    quoted = " ".join(f"'{word}'" for word in words)
    lines = [f"source '{scripts / 'bash'}'", f"COMP_WORDS=({quoted})", f"COMP_CWORD={len(words) - 1}"]
    lines += ['COMP_LINE="${COMP_WORDS[*]}"', "COMP_POINT=${#COMP_LINE}"]
    lines += ["_tailrace", 'printf "%s\\n" "${COMPREPLY[@]}"']
    script = "\n".join(lines)
    done = subprocess.run(
        [shell("bash"), "--norc", "-c", script],
        cwd=directory, env=environment(**environ or {}), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def in_fish(scripts, line, directory=None, environ=None):
    script = f"source '{scripts / 'fish'}'; complete --do-complete '{line}'"
    done = subprocess.run(
        [shell("fish"), "--no-config", "-c", script],
        cwd=directory, env=environment(**environ or {}), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [found.partition("\t")[0] for found in done.stdout.splitlines()]


def in_zsh(scripts, line, directory=None, environ=None):
    """What a Tab lists, in a zsh of its own in a terminal of its own; pressed once its editor reads keys, not before."""
    script = f"""
zmodload zsh/zpty
zpty shell 'cd "{directory or scripts}"; {shell("zsh")} -f -i'
zpty -w shell 'PROMPT= RPROMPT=; autoload -U compinit; compinit -u -D; source "{scripts / "zsh"}"; LISTMAX=10000 COLUMNS=200'
zpty -w shell 'zstyle ":completion:*" list-colors ""; zstyle ":completion:*" menu no; bindkey "^I" list-choices'
zpty -w shell 'zle-line-init() {{ print -n read""y }}; zle -N zle-line-init'
zpty -r shell found '*ready*'
zpty -n -w shell $'{line}\\t'
zpty -n -w shell $'\\C-u echo en""ded\\n'
zpty -r shell found '*ended*'
print -r -- "$found"
zpty -d shell
"""
    done = subprocess.run(
        [shell("zsh"), "-f", "-c", script],
        env=environment(TERM="dumb", **environ or {}), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return re.findall(r"[\w./-]+", re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", " ", done.stdout))


def options_of(name):
    return {option for action in parser_of(name)._actions for option in action.option_strings}


def test_the_first_word_is_a_command(scripts):
    assert {*in_bash(scripts, "tailrace", "")} == {*COMMANDS, "--help", "--version"}
    assert in_bash(scripts, "tailrace", "wa") == ["walltime", "watch"]
    assert {*in_fish(scripts, "tailrace ")} == {*COMMANDS}
    assert {*COMMANDS} <= {*in_zsh(scripts, "tailrace ")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_offered(scripts, name):
    known = options_of(name)
    assert {word for word in in_bash(scripts, "tailrace", name, "-") if word[0] == "-"} == known
    assert {*in_fish(scripts, f"tailrace {name} -")} == known


@pytest.mark.parametrize("name", ["post", "watch"])
def test_zsh_offers_them_too(scripts, name):
    assert options_of(name) <= {*in_zsh(scripts, f"tailrace {name} -")}


def test_the_values_of_a_choice_are_offered_and_nothing_else(scripts):
    formats = ["slurm", "pbs", "lsf", "flux", "seconds"]
    assert in_bash(scripts, "tailrace", "walltime", "--format", "") == formats
    assert in_bash(scripts, "tailrace", "walltime", "--format", "=", "s") == ["slurm", "seconds"]
    assert {*in_fish(scripts, "tailrace walltime --format ")} == {*formats}
    assert in_bash(scripts, "tailrace", "completion", "z") == ["zsh"]
    assert in_fish(scripts, "tailrace completion z") == ["zsh"]
    assert {"zsh", "bash", "fish"} <= {*in_zsh(scripts, "tailrace completion ")}
    assert in_bash(scripts, "tailrace", "post", "--y", "") == []


def test_files_are_offered_where_a_file_is_wanted(scripts, tmp_path):
    (tmp_path / "spooled here").mkdir()
    (tmp_path / "other").write_text("")
    assert in_bash(scripts, "tailrace", "flush", "--spool", "sp", directory=tmp_path) == ["spooled here"]
    assert in_fish(scripts, "tailrace flush --spool sp", directory=tmp_path) == ["spooled here/"]


HOSTILE = [
    "$(touch owned)", "`touch owned`", "a;touch owned", "a b", "a\nb", "'", '"', "*", "-rf", "~", "", "\x1b[2J", "a$b", 5,
    "run\ttime", "a|b", "{a,b}",
]  # fmt: skip
NAMES = {"models": ["runtime", "run-2.x", "linear"], "streams": ["lammps-runtime", "qe"], "recipes": ["mean", "knn"]}
ASKED = [
    (name, action)
    for name in COMMANDS
    for action in parser_of(name)._actions
    if re.search(r"model|stream|recipe", f"{action.dest} {action.metavar}") or action.dest == "confirm"
]
"""Every argument and option that is about a model, a stream or a recipe."""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A directory with the program for the PATH; it notes down what it is called with, unless to complete."""
    directory = tmp_path_factory.mktemp("bin")
    path = directory / "tailrace"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = completion ]; then exec "{PYTHON}" -m tailrace "$@"; fi\n'
        f'printf "%s\\n" "$@" > "{directory}/called"\necho cal""led\n'
    )
    path.chmod(0o755)
    return directory


@pytest.fixture
def server(program):
    """A server with names, some of which would do something to a shell, and the shells' environment."""
    body = {kind: [{"name": name} for name in [*HOSTILE, *names]] for kind, names in NAMES.items()}
    with listening(replies(answer("200 OK", json.dumps(body).encode()))) as listener:
        yield listener


def knowing(program, url):
    return {"PATH": f"{program}:{os.environ['PATH']}", "TAILRACE_URL": url}


@pytest.mark.parametrize(("name", "action"), ASKED, ids=lambda one: getattr(one, "dest", one))
def test_every_argument_that_is_a_name_offers_what_the_server_has(server, name, action):
    kind = kind_of(action)
    assert kind is not None
    option = f"{action.option_strings[-1]} " if action.option_strings else ""
    line = f"tailrace {name} --url {server.url} {option}"
    assert names_after(line) == NAMES[kind]
    first = NAMES[kind][0]
    assert names_after(line + first[:2]) == [one for one in NAMES[kind] if one.startswith(first[:2])]
    assert names_after(f'{line}"{first}') == [first]
    if option:
        assert names_after(f"tailrace {name} --url={server.url} {option.strip()}={first}") == [first]
    elif action.nargs == "+":
        assert names_after(f"{line}{first} ") == NAMES[kind]
    else:
        assert names_after(f"{line}{first} ") == []


def test_what_is_no_name_asks_nobody(server):
    for line in (
        "predict",
        "predict runtime ",
        "predict runtime x=",
        "post qe --y ",
        "post -",
        "flush ",
        "nonsense ",
        "",
        "label ",
    ):
        assert names_after(f"tailrace --url {server.url} {line}") == []
        assert names_after(f"tailrace {line} --url {server.url}") == []
    assert names_after(f"tailrace predict --url {server.url} --level 0.9 --track -- ru") == ["runtime", "run-2.x"]
    assert len(server.requests) == 1


def test_no_tab_waits_longer_than_a_second(monkeypatch):
    seen = []
    monkeypatch.setattr(Server, "request", lambda *_, deadline, **__: seen.append(deadline))
    assert names_after("tailrace predict ") == []
    assert [deadline <= 1 for deadline in seen] == [True]


@pytest.mark.parametrize("asked", [in_bash, in_fish, in_zsh], ids=["bash", "fish", "zsh"])
def test_each_shell_offers_names_and_runs_none(scripts, program, server, tmp_path, asked):
    def offered(*words):
        given = words if asked is in_bash else (" ".join(words),)
        return {*asked(scripts, *given, directory=tmp_path, environ=knowing(program, server.url))} & every

    every = {name for names in NAMES.values() for name in names}
    assert offered("tailrace", "predict", "") == {*NAMES["models"]}
    assert offered("tailrace", "post", "") == {*NAMES["streams"]}
    assert offered("tailrace", "create", "new", "--stream", "") == {*NAMES["streams"]}
    assert offered("tailrace", "create", "new", "--recipe", "m") == {"mean"}
    assert offered("tailrace", "watch", "other", "run") == {"runtime", "run-2.x"}
    assert offered("tailrace", "predict", "other", "") == set()
    assert list(tmp_path.iterdir()) == []


def test_bash_offers_the_plain_names_and_nothing_else(scripts, program, server):
    environ = knowing(program, server.url)
    assert in_bash(scripts, "tailrace", "release", "", environ=environ) == [
        *("-h", "--help", "--no-wait", "--url"), *NAMES["models"],
    ]  # fmt: skip
    assert in_bash(scripts, "tailrace", "release", "ru", environ=environ) == ["runtime", "run-2.x"]


@pytest.mark.parametrize("asked", [in_bash, in_fish, in_zsh], ids=["bash", "fish", "zsh"])
def test_a_server_that_does_not_answer_offers_no_name(scripts, program, asked):
    line = ("tailrace", "label", "--model", "")
    with listening(silent) as mute, listening(replies(answer("200 OK", b"[]"))) as mad:
        for url in (NOBODY, mute.url, mad.url, "nowhere"):
            given = line if asked is in_bash else (" ".join(line),)
            assert {*asked(scripts, *given, environ=knowing(program, url))} & {
                "runtime",
                "Unreachable",
                "Traceback",
            } == set()
            done = command("completion", "--names", "tailrace predict ", environ={"TAILRACE_URL": url})
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_tab_in_a_terminal_completes_the_line(scripts, program, server, tmp_path):
    bash = pexpect.spawn(
        shell("bash"), ["--norc", "--noprofile"], cwd=tmp_path, env=environment(TERM="dumb", **knowing(program, server.url)),
        encoding="utf-8", timeout=60,
    )  # fmt: skip
    try:
        bash.sendline(f"source '{scripts / 'bash'}'; PS1=; echo rea\"\"dy")
        bash.expect_exact("ready\r\n")
        bash.send("tailrace predict runt\t")
        bash.expect_exact("runtime ")
        bash.send("--url='http://x' --file \"a\"\n")
        bash.expect_exact("called\r\n")
        called = (program / "called").read_text().splitlines()
        assert called == ["predict", "runtime", "--url=http://x", "--file", "a"]
        bash.send('tailrace post "lam\t')
        bash.expect_exact('lammps-runtime"')
        bash.send(" x=1\n")
        bash.expect_exact("called\r\n")
        assert (program / "called").read_text().splitlines() == ["post", "lammps-runtime", "x=1"]
    finally:
        bash.close(force=True)
    assert list(tmp_path.iterdir()) == []
