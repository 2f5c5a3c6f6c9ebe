"""Pages that are walks: what they show is run, or says why it isn't; and what runs them would notice."""

import re
from pathlib import Path

import pytest
import yaml

from tests import walks
from tests.k8s.manifests import SECRETS, needs_kubectl
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

NO_COMMANDS = {"yaml", "ini", "json", "nginx", "dockerfile", "text", "sql", "promql", "python"}


@pytest.mark.parametrize("name", walks.PAGES)
def test_every_command_of_a_walk_is_run_or_says_why_not(name: str):
    previous = None
    for block in walks.blocks(walks.page(name).read_text()):
        where = f"{name}.md:{block.line}"
        if block.info == "sh not-run-here":
            reason = block.before.partition("Not run here: ")[2]
            assert len(reason) > 10, f"{where}: the paragraph before it has no 'Not run here: …'"
        elif block.info == "output":
            assert previous is not None and previous.is_run, f"{where}: output of what?"
        else:
            assert block.is_run or block.info in NO_COMMANDS, f"{where}: {block.info!r} is no kind of block"
        previous = block


def test_every_page_with_commands_to_run_is_walked_by_a_test():
    tests = [ROOT / "tests" / "test_walks.py", *(ROOT / "tests" / "containers").glob("test_*.py")]
    walked = {name for test in tests for name in re.findall(r'\bwalk\(\s*"([a-z-]+)"', test.read_text())}
    for name in walks.PAGES:
        if any(block.is_run for block in walks.blocks(walks.page(name).read_text())):
            assert name in walked, f"no test walks {name}.md"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Walks a page that is written here."""
    monkeypatch.setattr(walks, "page", lambda name: tmp_path / f"{name}.md")
    monkeypatch.setattr(walks, "copy_of_checkout", lambda directory: directory)

    def walk(*parts: str) -> None:
        (tmp_path / "made-up.md").write_text("\n\n".join(parts) + "\n")
        walks.walk("made-up", tmp_path / "run")

    return walk


def test_it_runs_all_blocks_in_one_session_and_leaves_the_others_alone(written):
    written(
        "```sh\nname=ada\n```",
        "Not run here: no.\n\n```sh not-run-here\nexit 3\n```",
        '```sh\necho "$name"\n```',
        "```output\nada\n```",
    )


def test_it_says_which_block_failed_and_what_it_printed(written):
    with pytest.raises(AssertionError, match=r"made-up\.md:5 ended with 4(?s:.)*no such bucket"):
        written("```sh\ntrue\n```", "```sh\necho no such bucket >&2\n(exit 4)\n```", "```sh\ntrue\n```")


def test_it_fails_where_something_else_is_printed(written):
    with pytest.raises(AssertionError, match=r"made-up\.md:5 shows\n2"):
        written("```sh\necho 1\n```", "```output\n2\n```")


def test_it_ends_what_a_page_leaves_running(written, tmp_path: Path):
    written("```sh\nsleep 1000 &\necho $!\n```")
    number = int((tmp_path / "run" / "said" / "0.out").read_text())
    state = Path(f"/proc/{number}/stat")
    assert not state.exists() or ") Z " in state.read_text()


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a b", "a    b\n", True),
        ("n=…", "n=12\n", True),
        ("first\n…\nlast", "first\nmore\nmore\nlast\n", True),
        ("first\n…\nlast", "first\nlast\n", True),
        ("(1.5)", "(1.5)\n", True),
        ("1.5", "1x5\n", False),
        ("a", "a\nb\n", False),
        ("a\nb", "a\n", False),
        ("n=…", "m=12\n", False),
    ],
)
def test_what_is_shown_stands_for_what_is_printed(shown: str, printed: str, same: bool):
    assert walks.says(shown, printed) is same


def test_the_copy_of_the_checkout_is_what_a_clone_has(tmp_path: Path):
    copy = walks.copy_of_checkout(tmp_path)
    assert (copy / "manage.py").read_bytes() == (ROOT / "manage.py").read_bytes()
    assert not (copy / "var").exists() and not (copy / ".git").exists()


def test_a_first_model_is_made_as_the_tutorial_says(tmp_path: Path):
    walks.walk("first-model", tmp_path)


@needs_kubectl
def test_the_secrets_of_production_are_made_as_the_page_says(tmp_path: Path):
    walks.walk("production", tmp_path)
    made = list(yaml.safe_load_all((tmp_path / "tailrace" / "secrets.yaml").read_text()))
    found = {one["metadata"]["name"]: set(one["data"]) for one in made if one}
    assert found == {name: keys for name, keys in SECRETS.items() if name in found}
    assert found.keys() == {"tailrace", "tailrace-database", "tailrace-postgresql"}


@pytest.mark.slow
def test_a_server_is_backed_up_and_brought_back_as_the_page_says(tmp_path: Path):
    walks.walk("disaster-recovery", tmp_path)


@pytest.mark.slow
def test_a_server_is_upgraded_as_the_page_says(tmp_path: Path):
    walks.walk("upgrading", tmp_path)


@pytest.mark.slow
def test_a_model_is_frozen_and_served_as_the_page_says(tmp_path: Path):
    walks.walk("sagemaker", tmp_path)
