"""Sphinx configuration: the pages of this directory as a searchable site (``make docs``).

The pages are written for two readers: of the files, such as on GitHub, and of the site. So links are ordinary relative
links between files. Those that leave this directory are adapted here.
"""

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "client"))

import tailrace  # noqa: E402

project = "Tailrace"
author = "The Tailrace developers"
project_copyright = author
version = release = tailrace.__version__
html_title = f"Tailrace {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# Examples leave things out with an ellipsis, which is no valid Python or JSON.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # most are properties, documented on their own

html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

WHOLE_FILES = {
    "project/changelog": "CHANGELOG.md",
    "project/contributing": "CONTRIBUTING.md",
    "project/security-policy": "SECURITY.md",
    "project/benchmarks": "bench/README.md",
    "project/readme": "README.md",
}
"""Pages of the site that are files elsewhere in the repository, which stay where readers look for them."""

REPOSITORY = os.environ.get("TAILRACE_DOCS_REPOSITORY", "").rstrip("/")
"""Where links to source files lead, such as ``https://git.example.org/tailrace/blob/main``; without it they show the path."""

LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def adapted(text: str, place: str, docname: str) -> str:
    """A page whose links also work in the site.

    Parameters
    ----------
    text
        Markdown.
    place
        The file that it comes from, from the root of the repository.
    docname
        The page of the site that it becomes.
    """
    pages = {file: name for name, file in WHOLE_FILES.items()}

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        anchor = match["anchor"] or ""
        if file in pages:
            file = f"docs/{pages[file]}.md"
        if file.startswith("docs/"):
            return f"{match['mark']}[{match['text']}]({posixpath.relpath(file[5:], posixpath.dirname(docname) or '.')}{anchor})"
        if match["mark"]:
            return match[0]
        if REPOSITORY:
            return f"[{match['text']}]({REPOSITORY}/{file})"
        words = match["text"]
        return words if file in words else f"{words} (`{file}`)"

    return LINK.sub(link, text)


def read(app: Any, docname: str, source: list[str]) -> None:
    """Sphinx is about to parse a page."""
    place = WHOLE_FILES.get(docname)
    if place is not None:
        source[0] = (ROOT / place).read_text()
        app.env.note_dependency(str(ROOT / place))
    source[0] = adapted(source[0], place or f"docs/{docname}.md", docname)


def setup(app: Any) -> None:
    app.add_lexer("output", TextLexer)
    app.connect("source-read", read)
