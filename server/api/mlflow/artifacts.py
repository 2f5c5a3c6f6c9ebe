"""MLflow's routes of artifacts: those of a run, and files by the place that ``artifact_uri`` names (``mlflow-artifacts``)."""

from typing import Any

from django.http import FileResponse, HttpRequest

from server.api import caller
from server.api.codec import chunks
from server.api.mlflow.messages import text
from server.api.mlflow.routes import Given, Routes
from server.api.mlflow.runs import run_id, uid_of
from server.contents import contents
from server.core.errors import Invalid
from server.tracking import artifacts, locations, runs, stored_files
from server.tracking.locations import Place

ROUTES, FILES = Routes(), Routes()
"""Routes below ``/api/2.0/mlflow/``, and below ``/api/2.0/mlflow-artifacts/``."""


def shown(found: list[dict[str, Any]], start: int = 0) -> list[dict[str, Any]]:
    """Return files and folders in MLflow's form. ``start`` characters of the paths are left out."""
    return [
        {
            "path": one["path"][start:],
            "is_dir": one["is_folder"],
            **({} if one["is_folder"] else {"file_size": one["size"]}),
        }
        for one in found
    ]


def folder(path: str) -> str:
    """Return the path of a folder of artifacts; "" for the one of all."""
    plain = path.strip("/") if path != "." else ""
    return artifacts.check_path(plain) if plain else ""


@ROUTES.add("GET", "artifacts/list", "read", **run_id(), path=text(), page_token=text())
def list_of_run(request: HttpRequest, given: Given) -> Any:
    """List a folder of the artifacts of a run. All of it is on the first page."""
    run = runs.find(uid_of(given))
    found = shown(stored_files.listing(run, folder(given["path"])))
    return {"root_uri": locations.of_run(run), **({"files": found} if found else {})}


@FILES.add("GET", "artifacts", "read", path=text())
def list_of_place(request: HttpRequest, given: Given) -> Any:
    """List a folder."""
    if not given["path"]:
        raise Invalid("path is missing: expected EXPERIMENT/RUN/artifacts, as artifact_uri of a run says", field="path")
    place = locations.parse(given["path"])
    found = stored_files.listing(stored_files.owner(place), place.path)
    listed = shown(found, len(place.path) + 1 if place.path else 0)
    return {"files": listed} if listed else {}


def file_of(given: Given) -> Place:
    """Return the place of a file.

    Raises
    ------
    Invalid
        If the path is not that of a file of this server.
    """
    place = locations.parse(given["artifact_path"], "artifact_path")
    if not place.path:
        raise Invalid("artifact_path names no file", field="artifact_path")
    return place


_PATH = {"artifact_path": text(locations.LONGEST, required=True)}


@FILES.add("GET", "artifacts/<path:artifact_path>", "read", **_PATH)
def download(request: HttpRequest, given: Given) -> Any:
    """Download a file, as an attachment that no browser shows or runs."""
    place = file_of(given)
    file, size = stored_files.open_file(stored_files.owner(place), place.path)
    name = place.path.rpartition("/")[2]
    response = FileResponse(file, as_attachment=True, filename=name, content_type="application/octet-stream")
    response["Content-Length"] = str(size)
    return response


@FILES.add_raw("PUT", "artifacts/<path:artifact_path>", "learn", **_PATH)
def upload(request: HttpRequest, given: Given) -> Any:
    """Upload a file, in place of an earlier one of the same path."""
    place = file_of(given)
    owner = stored_files.owner(place)
    caller.check_owner(request, owner)
    with contents.receiving(chunks(request)) as received:
        stored_files.put(owner, place.path, received, caller.owner(request))


@FILES.add("DELETE", "artifacts/<path:artifact_path>", "change_own", **_PATH)
def delete(request: HttpRequest, given: Given) -> Any:
    """Delete a file, or a folder with all that is in it."""
    place = locations.parse(given["artifact_path"], "artifact_path")
    owner = stored_files.owner(place)
    caller.check_owner(request, owner)
    stored_files.delete(owner, place.path)
