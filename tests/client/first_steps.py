"""The notebook of the docs, run from its first cell to its last by a kernel of its own.

``python -m tests.client.first_steps`` records its outputs anew, against a server that is started for it on port 8080.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.serving import PATIENCE, ROOT, Server

NOTEBOOK = ROOT / "docs" / "tutorials" / "first-steps.ipynb"


def executed(url: str, directory: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in `directory` against the server at `url`.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(directory)}},
    )  # fmt: skip
    own = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    own |= {"TAILRACE_URL": url, "TAILRACE_SPOOL": str(directory / "spool"), "IPYTHONDIR": str(directory / "ipython")}
    own |= {
        "PYTHONPATH": str(ROOT / "client"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]]),
    }
    client.execute(env=own)
    return notebook


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name) / "var", workers=1)
        server.port, server.url = 8080, "http://127.0.0.1:8080"
        server.environment["TAILRACE_BIND"] = "127.0.0.1:8080"
        server.start()
        try:
            notebook = executed(server.url, Path(name))
        finally:
            server.stop()
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        cell.metadata.clear()
    nbformat.write(notebook, NOTEBOOK)
    print(f"recorded {NOTEBOOK.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
