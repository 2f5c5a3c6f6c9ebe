"""``python -m tests.api.flavors_page > docs/reference/flavors.md``: which estimator works in which flavor, as a page."""

import contextlib
import logging
import os
import sys
import tempfile
from pathlib import Path

import django


def main() -> None:
    """Try all of them (minutes), and print the page."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    django.setup()  # chooses the kernels, so before NumPy is loaded
    logging.disable()
    from tests.api import survey

    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(sys.stderr):
        page = survey.page(survey.survey(Path(directory)))
    print(page, end="")


if __name__ == "__main__":
    main()
