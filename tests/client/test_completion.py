"""Completion, in the shells themselves."""

import os
import re
import shutil
import subprocess

import pytest
from tailrace.cli import COMMANDS, parser_of

from tests.client.running import command, environment

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


def in_bash(scripts, *words, directory=None):
    quoted = " ".join(f"'{word}'" for word in words)
    lines = [f"source '{scripts / 'bash'}'", f"COMP_WORDS=({quoted})", f"COMP_CWORD={len(words) - 1}"]
    lines += ["_tailrace", 'printf "%s\\n" "${COMPREPLY[@]}"']
    script = "\n".join(lines)
    done = subprocess.run(
        [shell("bash"), "--norc", "-c", script],
        cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def in_fish(scripts, line, directory=None):
    script = f"source '{scripts / 'fish'}'; complete --do-complete '{line}'"
    done = subprocess.run(
        [shell("fish"), "--no-config", "-c", script],
        cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [found.partition("\t")[0] for found in done.stdout.splitlines()]


def in_zsh(scripts, line, directory=None):
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
        [shell("zsh"), "-f", "-c", script], env=environment(TERM="dumb"), capture_output=True, text=True, timeout=60
    )
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
