"""A version of a mirrored model, read back from MLflow or from a folder."""

import re
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tailrace.tracking.senders.mlflow_requests import PROXIED

from server.core.errors import Invalid, NotFound
from server.core.json_codec import loads
from server.learning import frozen_copies
from server.learning.frozen_copies import Frozen, FrozenError
from server.mirror import bundle
from server.mirror.targets import Requests, as_invalid

MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[0-9]{1,9})|@(?P<alias>[^/@]+))\Z")
LARGEST = 2**31


@dataclass(frozen=True)
class Mirrored:
    """A version as it was mirrored.

    Attributes
    ----------
    name
        What it is called in messages, such as ``models:/runtime/3``.
    frozen
        The model and its state.
    about
        What it was made of: ``at``, ``fold``, ``generation``, ``retraction``, ``fingerprint`` and others.
    """

    name: str
    frozen: Frozen
    about: dict[str, Any]


def from_folder(folder: Path, name: str = "") -> Mirrored:
    """Read a version from its folder, as ``mlflow artifacts download`` writes it.

    Raises
    ------
    Invalid
        If it is not one.
    """
    try:
        about = loads((folder / bundle.ABOUT).read_bytes())
        frozen = frozen_copies.read(folder / bundle.MODEL)
    except (OSError, ValueError, FrozenError) as exc:
        raise Invalid(f"{name or folder} is not a mirrored model: {exc}") from exc
    counts = [about.get(key) for key in ("at", "retraction", "generation")] if isinstance(about, dict) else [None]
    if not all(type(one) is int and 0 <= one < 2**62 for one in counts) or about["at"] != frozen.at:
        raise Invalid(f"{name or folder} is not a mirrored model: {bundle.ABOUT} says nothing of what it was made of")
    return Mirrored(name or str(folder), frozen, about)


def from_mlflow(uri: str, requests: Requests) -> Mirrored:
    """Download a version and read it.

    Parameters
    ----------
    uri
        Such as ``models:/runtime/3`` or ``models:/runtime@live``.

    Raises
    ------
    Invalid, NotFound
        If there is no such version, or it is not a mirrored one.
    """
    found = MODEL_URI.match(uri)
    if found is None:
        raise Invalid(f"{uri!r} names no version: expected models:/NAME/VERSION, models:/NAME@ALIAS, or a folder")
    name, version, alias = found["name"], found["version"], found["alias"]
    with as_invalid():
        if alias:
            answer = requests.get("registered-models/alias", name=name, alias=alias)
            version = str(answer["model_version"]["version"])
        place = requests.get("model-versions/get-download-uri", name=name, version=version)
        root = str(place.get("artifact_uri", ""))
    if not root.startswith(PROXIED):
        raise Invalid(
            f"the files of {uri} are at {root}: download them with `mlflow artifacts download`, and give the folder"
        )
    with tempfile.TemporaryDirectory(prefix="tailrace-mirror-") as folder:
        for path in (bundle.MODEL, bundle.ABOUT):
            target = Path(folder) / path
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(_file(requests, root, path))
        return from_folder(Path(folder), f"models:/{name}/{version}")


def _file(requests: Requests, root: str, path: str) -> bytes:
    inner = re.sub(r"^//[^/]*", "", root[len(PROXIED) :]).strip("/")
    url = f"{requests.backend.address}/api/2.0/mlflow-artifacts/artifacts/{quote(inner)}/{quote(path)}"
    request = urllib.request.Request(url, headers=requests._headers())  # noqa: S310 - it is http
    try:
        with urllib.request.urlopen(request, timeout=60, **requests._tls()) as answer:  # noqa: S310
            found: bytes = answer.read(LARGEST)
            return found
    except urllib.error.HTTPError as exc:
        if exc.code == 404:
            raise NotFound(f"the version has no file {path}: it is not a mirrored model") from exc
        raise Invalid(f"{requests.backend.address} answers {exc.code} to the download of {path}") from exc
    except (OSError, ValueError) as exc:
        raise Invalid(f"{requests.backend.address}: {path} can't be downloaded: {exc}") from exc
