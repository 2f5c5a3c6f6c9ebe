"""The pages about the client, held against the commands as they are."""

import re
import shlex

import pytest
from tailrace.cli.command_list import COMMANDS, parser_of
from tailrace.cli.pages import MARK, index, page, write
from tailrace.errors import Unusable

from tests.serving import ROOT

pytestmark = pytest.mark.one_database

PAGES = ROOT / "docs" / "reference" / "cli"
HOW = "run: python -m tailrace.cli.pages docs/reference/cli"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_each_command_is_the_command(name):
    assert (PAGES / f"{name}.md").read_text().startswith(page(name)), HOW


def test_the_list_of_commands_is_the_list_of_pages():
    assert (PAGES / "README.md").read_text().startswith(index()), HOW
    assert {path.stem for path in PAGES.glob("*.md")} == {*COMMANDS, "README"}


def test_a_page_names_every_option_and_says_what_it_does():
    for name in COMMANDS:
        for action in parser_of(name)._actions:
            assert action.help, f"{name} {action.dest}"
            for option in action.option_strings:
                assert re.search(rf"(?m)^\| .*`{option}\b.*\| \S", page(name)), f"{name} {option}"


def test_what_is_written_by_hand_is_kept(tmp_path):
    write(tmp_path)
    path = tmp_path / "flush.md"
    path.write_text(path.read_text().replace("# tailrace flush", "# old") + "By hand.\n")
    write(tmp_path)
    assert path.read_text() == f"{page('flush')}By hand.\n"
    assert page("flush").endswith(f"{MARK}\n")


def examples():
    """Every line of a command that the pages and the help show."""
    texts = {path.name: path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    texts["client/README.md"] = (ROOT / "client" / "README.md").read_text()
    for page_name, text in texts.items():
        for block in re.findall(r"(?ms)^```\w*\n(.*?)^```", text):
            for line in block.replace("\\\n", " ").splitlines():
                for found in re.finditer(r"\btailrace ([a-z]+)( [^|>;&)\n]*)?", line):
                    if found[1] in COMMANDS and "[OPTIONS]" not in line and "COMMAND" not in line:
                        yield pytest.param(
                            found[1], (found[2] or "").split("  ")[0], id=f"{page_name}: {found[0][:60]}"
                        )


@pytest.mark.parametrize(("name", "rest"), list(examples()))
def test_every_example_is_a_command_line_that_is_understood(name, rest):
    """As far as shells leave it a command line: what they put in is taken for a number."""
    text = re.sub(r"\$\{?\w+\}?|\$\([^)]*\)?", "1", rest.replace('"$', "$").rstrip("` "))
    words = shlex.split(text.rstrip('"') if text.count('"') % 2 else text)
    try:
        parser_of(name).read([word for word in words if word != "…"])
    except Unusable as error:
        pytest.fail(f"tailrace {name} {rest}: {error}")
