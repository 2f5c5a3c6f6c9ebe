"""What a release is made of: one version everywhere, and a client that installs from its own distribution."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.serving import ROOT
from tools import release

pytestmark = pytest.mark.one_database


def test_every_place_names_the_version_of_the_client():
    assert list(release.other_versions()) == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of version 1.2.0 that can be released."""
    (tmp_path / "client" / "tailrace").mkdir(parents=True)
    (tmp_path / "client" / "tailrace" / "version.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n## 1.2.0 - 2026-11-30\n\n- More.\n\n## 1.1.0 - 2026-10-01\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "kind.md").write_text("podman save localhost/tailrace:1.2.0\n")
    return tmp_path


def problems(checkout: Path) -> list[str]:
    return [*release.other_versions(checkout), *release.changelog_problems(checkout)]


def test_a_checkout_whose_places_agree_can_be_released(checkout):
    assert problems(checkout) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        (
            "CITATION.cff",
            "version: 1.2.0\n",
            "version: 1.1.0\n",
            "CITATION.cff names the version 1.1.0, the client is 1.2.0",
        ),
        ("docs/kind.md", ":1.2.0", "-client:1.1.0", "docs/kind.md names the version 1.1.0, the client is 1.2.0"),
        ("CHANGELOG.md", "## 1.2.0", "## 1.2.1", "CHANGELOG.md has no section '## 1.2.0 - YYYY-MM-DD'"),
        ("CHANGELOG.md", "Unreleased\n", "Unreleased\n\n- A fix.\n", "CHANGELOG.md has entries under 'Unreleased'"),
    ],
)
def test_what_does_not_agree_is_named(checkout, file, old, new, problem):
    path = checkout / file
    text = path.read_text()
    path.write_text(
        text[::-1].replace(old[::-1], new[::-1], 1)[::-1] if file == "CITATION.cff" else text.replace(old, new, 1)
    )
    (found,) = problems(checkout)
    assert found.startswith(problem)


def test_a_tag_is_the_version():
    assert list(release.tag_problems(["v1.2.0", "reviewed"], "1.2.0")) == []
    assert list(release.tag_problems(["v1.2.1"], "1.2.0")) == ["this commit has the tag v1.2.1, expected v1.2.0"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> list[Path]:
    return release.build(tmp_path_factory.mktemp("dist"))


def test_the_client_builds_and_its_metadata_are_complete(built):
    assert list(release.distribution_problems(built, release.version())) == []
    said = release.metadata(built[0])
    assert "License-Expression: Apache-2.0" in said and "License-File: LICENSE" in said
    assert "Requires-Python: >=3.9" in said
    assert (ROOT / "client" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("ending", [".whl", ".tar.gz"])
def test_the_client_installs_into_an_environment_that_has_nothing_else(built, ending, tmp_path):
    (distribution,) = (path for path in built if path.name.endswith(ending))
    python = tmp_path / "environment" / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "--offline", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(python.parent.parent)], check=True)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    if ending == ".tar.gz":  # built with this environment's setuptools, so that nothing is fetched
        wheels = tmp_path / "wheels"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--no-deps",
                "--no-build-isolation",
                "--wheel-dir",
                str(wheels),
                str(distribution),
            ],
            check=True,
        )
        (distribution,) = wheels.iterdir()
    subprocess.run([*uv, "pip", "install", "--python", str(python), str(distribution)], check=True)
    command = subprocess.run(
        [str(python.with_name("tailrace")), "--version"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert command.stdout == f"tailrace {release.version()}\n"
    code = "import tailrace; print(tailrace.__file__, all(hasattr(tailrace, name) for name in tailrace.__all__))"
    said = subprocess.run(
        [str(python), "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith(str(tmp_path)) and said.endswith(" True\n")


def test_actions_are_pinned_and_workflows_ask_for_no_more_than_they_need():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        for uses in re.findall(r"uses: (\S+)(.*)", text):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses[0]) and "# v" in uses[1], f"{path.name}: {uses}"
        assert yaml.safe_load(text)["permissions"] == {}, path.name
