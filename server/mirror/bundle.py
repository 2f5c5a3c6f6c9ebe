"""The files of a version of a mirrored model: an MLflow model of the flavor ``pyfunc``, written without MLflow."""

import io
import platform
import zipfile
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from tailrace.estimators import arithmetic
from tailrace.version import __version__

from server.core.json_codec import dumps_text
from server.learning.fold import flavors
from server.learning.frozen_copies import Frozen

SERVER = Path(__file__).parents[1]
PYFUNC = Path(__file__).parent / "pyfunc"
LOADER_MODULE = "tailrace_pyfunc"
MODEL, ABOUT, LOADER = "data/model.tailrace", "data/tailrace.json", "data/loader.zip"
"""Paths of a version's files."""

PARTS = (
    "__init__.py",
    "core/__init__.py",
    "core/errors.py",
    "core/printable.py",
    "learning/__init__.py",
    "learning/pickles/*.py",
    "learning/river_adapters/*.py",
)
"""The server's files that load a state and predict. They import nothing but each other, river, NumPy and ``tailrace.estimators``."""

BEGUN = (1980, 1, 1, 0, 0, 0)

MLMODEL = """\
artifact_path: {path}
flavors:
  python_function:
    code: code
    data: data
    env:
      virtualenv: python_env.yaml
    loader_module: {module}
    python_version: {python}
model_uuid: {uuid}
run_id: {run}
utc_time_created: '{created}'
"""

PYTHON_ENV = """\
python: {python}
build_dependencies:
- pip
dependencies:
- -r requirements.txt
"""


def requires() -> dict[str, str]:
    """Return the packages that a version needs to predict, and the versions of them that this server has."""
    found = {"tailrace": __version__}
    for name in ("river", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def files(frozen: Frozen, about: dict[str, Any], *, path: str, run: str, uuid: str) -> dict[str, bytes]:
    """Return the content of each file of a version, by its path. The last one is ``MLmodel``.

    Parameters
    ----------
    frozen
        The model.
    about
        What the version was made of, kept in ``tailrace.json``.
    path, run
        Where the files will be, among the artifacts of which run of MLflow.
    uuid
        Identifies the version: 32 hexadecimal digits.
    """
    flavor = str(frozen.model["flavor"])
    needs = requires()
    trusted = settings.TAILRACE.trusted if flavor == "custom" else ()
    python = platform.python_version()
    kept = {
        **about,
        "predicts": list(flavors.get(flavor).predicts),
        "trusted": list(trusted),
        "requires": needs,
        "python": python,
        "architecture": arithmetic.architecture(),
    }
    created = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    return {
        MODEL: frozen.to_bytes(),
        ABOUT: dumps_text(kept).encode(),
        LOADER: loader(),
        f"code/{LOADER_MODULE}.py": (PYFUNC / f"{LOADER_MODULE}.py").read_bytes(),
        "requirements.txt": "".join(f"{name}=={one}\n" for name, one in {**needs}.items()).encode() + b"mlflow\n",
        "python_env.yaml": PYTHON_ENV.format(python=python).encode(),
        "MLmodel": MLMODEL.format(
            path=path, module=LOADER_MODULE, python=python, uuid=uuid, run=run, created=created
        ).encode(),
    }


@cache
def loader() -> bytes:
    """Return ``loader.zip``: the part of the server that loads a state and predicts. The same for each version of the server."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        found = {f"server/{one.relative_to(SERVER)}": one for part in PARTS for one in sorted(SERVER.glob(part))}
        for name, source in {"__main__.py": PYFUNC / "predicting_process.py", **found}.items():
            made.writestr(zipfile.ZipInfo(name, BEGUN), source.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
