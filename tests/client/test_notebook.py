"""The notebook of the docs runs as it stands, on a real server, and shows what is recorded in it."""

import json
import re

import nbformat
import pytest

from tests.client.first_steps import NOTEBOOK, executed

pytestmark = pytest.mark.one_database

CHANGING = re.compile(
    r"\d{4}-\d\d-\d\d[ T][\d:.]+(\+00:00)?( UTC)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|127\.0\.0\.1:\d+"
)
"""Times, identifiers and ports: what each run has of its own."""


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell of code shows as text."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            shown.append(CHANGING.sub("*", "".join(outputs)))
    return shown


@pytest.fixture(scope="module")
def recorded():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_runs_on_a_new_server_and_shows_what_is_recorded(serve, recorded, tmp_path):
    run = executed(serve(workers=1).url, tmp_path)
    assert texts(run) == texts(recorded)
    kinds = [set(output.get("data", {})) for cell in run.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in kind for kind in kinds) == 3
    assert sum("text/html" in kind for kind in kinds) >= 8


def test_what_is_recorded_shows_each_thing(recorded):
    every = "\n".join(texts(recorded))
    for words in ("loop_time", "did you mean 'runtime'?", "latest 100", "at 95 %", "kept as *", "this label   learned"):
        assert words in every
    assert all(texts(recorded)), "a cell shows nothing"
    assert "/tmp" not in json.dumps(recorded)
