"""Pages that could fall behind the code, held against it."""

import re
import subprocess

import pytest

from server.learning.management.commands.recipes_page import page
from tests.serving import ROOT

pytestmark = pytest.mark.one_database


def test_the_page_of_recipes_is_the_code():
    assert (ROOT / "docs" / "recipes.md").read_text() == page(), "run: manage.py recipes_page > docs/recipes.md"


def test_every_link_between_pages_leads_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / "bench" / "README.md"]
    for found in pages:
        for target in re.findall(r"\]\(([^)#]+)", found.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (found.parent / target).exists(), f"{found.name} links to {target}"


def test_every_make_target_that_is_written_about_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for found in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"`?make ([a-z]+)", found.read_text()))
        assert named <= targets, f"{found.name}: {named - targets}"


def test_no_tracked_file_is_large_or_names_a_registry():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        data = (ROOT / name).read_bytes()
        assert len(data) < 2**20, name
        assert not re.search(rb"py" rb"pi\.org|python" rb"hosted|npm" rb"js\.org|deb\.deb" rb"ian\.org", data), name
