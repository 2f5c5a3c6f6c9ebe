"""Pages that could fall behind the code, held against it."""

import re
import subprocess

import pytest

from server.learning.management.commands.recipes_page import page
from tests.mlflow import page as routes_of_mlflow
from tests.serving import ROOT
from tools import plain_english

pytestmark = pytest.mark.one_database


def test_the_page_of_recipes_is_the_code():
    assert (ROOT / "docs" / "reference" / "recipes.md").read_text() == page(), (
        "run: manage.py recipes_page > docs/reference/recipes.md"
    )


def test_the_page_of_mlflows_routes_is_the_code():
    assert (ROOT / "docs" / "reference" / "mlflow.md").read_text() == routes_of_mlflow.page(), (
        "run: python -m tests.mlflow.page > docs/reference/mlflow.md"
    )


def test_every_link_between_pages_leads_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"]
    for found in pages:
        for target in re.findall(r"\]\(([^)#]+)", found.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (found.parent / target).exists(), f"{found.relative_to(ROOT)} links to {target}"


def test_every_path_on_the_page_of_the_architecture_exists():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    paths = re.findall(r"`((?:server|client|lammps_jobs|training_demo|bench|tests)/[^`]+)`", text)
    assert len(set(paths)) > 40
    for path in paths:
        assert (ROOT / path).is_file(), f"architecture.md names {path}: where is it now?"


def test_contributing_lists_every_package():
    roots = ("server", "client", "lammps_jobs", "training_demo", "bench", "tools")
    listed = subprocess.run(["git", "ls-files", *roots], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    there = {name.removesuffix("/__init__.py") for name in listed.split() if name.endswith("/__init__.py")}
    wanted = {name for name in there if not re.search(r"/(migrations|management)(/|$)", name)}
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Packages")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (\S.*) \|$", section)
    assert {name for name, _ in rows} == wanted
    assert len(rows) == len(wanted)


def test_phrases_that_readers_stumble_over_are_found_with_what_to_write_instead():
    rules = plain_english.rules("[everywhere]\ntwo-fold -> Nth\n[pages]\nfor ever -> permanently\n")
    text = "every two-fold\nis kept for\never; forever"
    assert list(plain_english.findings("x.md", text, rules)) == [
        "x.md:1: 'two-fold': write Nth",
        "x.md:2: 'for ever': write permanently",
    ]
    assert list(plain_english.findings("x.py", text, rules)) == ["x.py:1: 'two-fold': write Nth"]
    with pytest.raises(ValueError, match=r"plain_english\.txt:1: expected PHRASE -> INSTEAD"):
        plain_english.rules("no rule")


def test_every_make_target_that_is_written_about_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for found in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"(?m)(?:`|^)make ([a-z-]+)", found.read_text()))
        assert named <= targets, f"{found.name}: {named - targets}"


def test_no_tracked_file_is_large_or_names_a_registry():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        data = (ROOT / name).read_bytes()
        assert len(data) < 2**20, name
        assert not re.search(rb"py" rb"pi\.org|python" rb"hosted|npm" rb"js\.org|deb\.deb" rb"ian\.org", data), name
