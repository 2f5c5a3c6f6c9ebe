"""``make release-check``: whether this checkout can be released under its version.

The version stands in ``client/tailrace/version.py``. This compares it with every other place, builds the client's sdist and
wheel, and checks their metadata. The exit code is 1 if something differs, and each line says what.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r'(?m)^__version__ = "([^"]+)"$')
PLACES: dict[str, str] = {
    "CITATION.cff": r"(?m)^version: (\S+)$",
    "k8s/overlays/*/kustomization.yaml": r"newTag: (\S+)",
    "docs/**/*.md": r"\btailrace(?:-client)?:(\d[\w.]*\w)",
}
"""Files, and how the version is written in them."""


def version(root: Path = ROOT) -> str:
    """The version of this checkout."""
    found = VERSION.search((root / "client" / "tailrace" / "version.py").read_text())
    if found is None:
        raise SystemExit("client/tailrace/version.py has no __version__")
    return found[1]


def other_versions(root: Path = ROOT) -> Iterator[str]:
    """Places that name another version than the client."""
    wanted = version(root)
    for pattern, form in PLACES.items():
        for path in sorted(root.glob(pattern)):
            for match in re.finditer(form, path.read_text()):
                if match[1] != wanted:
                    yield f"{path.relative_to(root)} names the version {match[1]}, the client is {wanted}"


def changelog_problems(root: Path = ROOT) -> Iterator[str]:
    """What the changelog lacks."""
    wanted = version(root)
    text = (root / "CHANGELOG.md").read_text()
    if not re.search(rf"(?m)^## \[?{re.escape(wanted)}\]? - \d{{4}}-\d\d-\d\d$", text):
        yield f"CHANGELOG.md has no section '## {wanted} - YYYY-MM-DD'"
    unreleased = re.search(r"(?ms)^## Unreleased\n(.*?)(?=^## |\Z)", text)
    if unreleased is not None and unreleased[1].strip():
        yield "CHANGELOG.md has entries under 'Unreleased': move them to the version's section"


def tag_problems(tags: list[str], wanted: str) -> Iterator[str]:
    """Tags of releases on this commit that are not the version's."""
    for tag in tags:
        if re.match(r"v\d", tag) and tag != f"v{wanted}":
            yield f"this commit has the tag {tag}, expected v{wanted}"


def build(directory: Path, root: Path = ROOT) -> list[Path]:
    """Build the client's sdist and wheel into an empty directory, with the build tools of this environment.

    Raises
    ------
    subprocess.CalledProcessError
        If it can't be built.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("tailrace-*"):
        old.unlink()
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(root / "client")],
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(directory.glob("tailrace-*"))


def distribution_problems(built: list[Path], wanted: str) -> Iterator[str]:
    """What is wrong with built distributions."""
    kinds = sorted(path.name.removeprefix(f"tailrace-{wanted}") for path in built)
    if kinds != ["-py3-none-any.whl", ".tar.gz"]:
        yield f"expected a wheel and an sdist of version {wanted}, built {[path.name for path in built]}"
        return
    for path in built:
        said = Parser().parsestr(metadata(path))
        if said["Version"] != wanted:
            yield f"{path.name} has the version {said['Version']} in its metadata"
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)], capture_output=True, text=True
    )
    if checked.returncode:
        yield f"twine check: {checked.stdout.strip()}"


def metadata(path: Path) -> str:
    """The metadata of an sdist or a wheel."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            return wheel.read(name).decode()
    with tarfile.open(path) as sdist:
        member = sdist.extractfile(f"{path.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert member is not None
        return member.read().decode()


def main() -> int:
    wanted = version()
    tags = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    problems = [*other_versions(), *changelog_problems(), *tag_problems(tags, wanted)]
    try:
        built = build(ROOT / "var" / "dist")
    except subprocess.CalledProcessError as exc:
        problems.append(f"the client can't be built: {exc.stdout}{exc.stderr}")
    else:
        problems += distribution_problems(built, wanted)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"Tailrace {wanted} can be released. In var/dist: {', '.join(path.name for path in built)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
