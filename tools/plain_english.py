"""``python -m tools.plain_english``: find phrases that ``plain_english.txt`` replaces with simpler ones.

It reads the tracked text files and prints ``FILE:LINE: phrase: write …`` for each find. The exit code is then 1.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_name("plain_english.txt")
NOT_PROSE = re.compile(
    r"(^|/)fixtures/|(^|/)LICENSE$|^tools/plain_english|\.(npy|npz|gz|json|csv|svg|ipynb|log)$|^requirements/.*\.txt$"
)
PAGES = re.compile(r"(?<!CHANGELOG)\.md$")


class Rule(NamedTuple):
    """A phrase to avoid."""

    phrase: re.Pattern[str]
    instead: str
    pages_only: bool
    """Whether it is looked for in pages (``*.md``) only."""


def rules(text: str) -> list[Rule]:
    """The rules of a list: ``PHRASE -> INSTEAD``, one a line, in sections ``[everywhere]`` and ``[pages]``.

    Raises
    ------
    ValueError
        If a line is neither a rule, a section, a comment nor empty.
    """
    found: list[Rule] = []
    pages_only = False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line in ("[everywhere]", "[pages]"):
            pages_only = line == "[pages]"
            continue
        phrase, arrow, instead = line.partition(" -> ")
        if not arrow:
            raise ValueError(f"{LIST.name}:{number}: expected PHRASE -> INSTEAD, got {line!r}")
        pattern = r"\s+".join(rf"{word}" for word in phrase.split())
        found.append(Rule(re.compile(rf"(?<!\w){pattern}(?!\w)", re.I), instead, pages_only))
    return found


def findings(name: str, text: str, applied: Iterable[Rule]) -> Iterator[str]:
    """One line for each phrase that a file should not contain. A phrase may continue on the next line."""
    is_page = PAGES.search(name) is not None
    for rule in applied:
        if is_page or not rule.pages_only:
            for match in rule.phrase.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{name}:{line}: {' '.join(match[0].split())!r}: write {rule.instead}"


def tracked() -> Iterator[str]:
    """Tracked files that may hold prose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if not NOT_PROSE.search(name) and (ROOT / name).is_file():
            yield name


def main() -> int:
    applied = rules(LIST.read_text())
    found = [line for name in tracked() for line in findings(name, (ROOT / name).read_text(errors="replace"), applied)]
    print("\n".join(sorted(found)), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
